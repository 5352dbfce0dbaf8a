from __future__ import annotations

import time

from hermes_stream.cli.conversation import Conversation


def slowly(*lines, gap_seconds=0.3):
    for line in lines:
        time.sleep(gap_seconds)
        yield f"{line}\n"


def test_what_was_typed_before_the_start_comes_after_the_first_moment():
    conversation = Conversation(["a\n", " \n", "b\n"], speed=1000, ends_with_input=False)
    assert list(conversation.until(0)) == []
    assert list(conversation.until(50)) == ["a", "b"]
    assert conversation.has_ended
    assert not conversation.is_over
    assert list(conversation.rest()) == []


def test_questions_come_in_the_moment_they_are_typed_in():
    conversation = Conversation(slowly("a", "b"), speed=1, ends_with_input=False)
    list(conversation.until(0))
    assert list(conversation.until(0.1)) == []
    assert list(conversation.until(0.45)) == ["a"]
    assert list(conversation.until(1)) == ["b"]


def test_a_moment_is_waited_for():
    def silence():
        time.sleep(1)
        yield "late\n"

    conversation = Conversation(silence(), speed=2, ends_with_input=False)
    list(conversation.until(0))
    began = time.monotonic()
    assert list(conversation.until(0.2)) == []
    assert 0.09 < time.monotonic() - began < 0.8
    assert list(conversation.rest()) == ["late"]


def test_nothing_is_waited_for_at_speed_0_or_after_the_last_line():
    waiting = Conversation(slowly("late", gap_seconds=0.5), speed=0, ends_with_input=False)
    done = Conversation([], speed=1, ends_with_input=False)
    began = time.monotonic()
    for conversation in (waiting, done):
        list(conversation.until(0))
        assert list(conversation.until(1000)) == []
    assert time.monotonic() - began < 0.4


def test_quit_ends_it_and_later_lines_are_not_read():
    conversation = Conversation(["a\n", "QUIT\n", "b\n"], speed=0, ends_with_input=False)
    list(conversation.until(0))
    assert list(conversation.rest()) == ["a"]
    assert conversation.is_over
    assert list(conversation.until(1)) == []


def test_the_end_of_a_terminals_input_means_quit():
    conversation = Conversation([], speed=1, ends_with_input=True)
    assert list(conversation.rest()) == []
    assert conversation.is_over

from __future__ import annotations

import time

from hermes_stream.cli.conversation import Conversation


def texts(lines):
    return [line.text for line in lines]


def slowly(*lines, gap_seconds=0.3):
    for line in lines:
        time.sleep(gap_seconds)
        yield f"{line}\n"


def test_what_was_typed_before_the_start_comes_after_the_first_moment():
    conversation = Conversation(["a\n", " \n", "b\n"], speed=1000, ends_with_input=False)
    assert list(conversation.until(0)) == []
    assert texts(conversation.until(50)) == ["a", "b"]
    assert conversation.has_ended
    assert not conversation.is_over
    assert list(conversation.rest()) == []


def test_questions_come_in_the_moment_they_are_typed_in():
    conversation = Conversation(slowly("a", "b"), speed=1, ends_with_input=False)
    list(conversation.until(0))
    assert list(conversation.until(0.1)) == []
    assert texts(conversation.until(0.45)) == ["a"]
    assert texts(conversation.until(1)) == ["b"]


def test_a_moment_is_waited_for():
    def silence():
        time.sleep(1)
        yield "late\n"

    conversation = Conversation(silence(), speed=2, ends_with_input=False)
    list(conversation.until(0))
    began = time.monotonic()
    assert list(conversation.until(0.2)) == []
    assert 0.09 < time.monotonic() - began < 0.8
    assert texts(conversation.rest()) == ["late"]


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
    assert texts(conversation.rest()) == ["a"]
    assert conversation.is_over
    assert list(conversation.until(1)) == []


def test_lines_with_times_come_at_their_times():
    lines = ["0:04 c\n", "0:02 a\n", "b\n", "quit\n", "9 never\n"]
    conversation = Conversation(lines, speed=0, ends_with_input=False, reads_times=True, first_line_seconds=1)
    assert list(conversation.until(0)) == []
    assert list(conversation.until(2)) == []
    assert [(line.text, line.at_seconds) for line in conversation.until(3)] == [("a", 2), ("b", 2)]
    assert conversation.is_over
    assert list(conversation.until(5)) == list(conversation.rest()) == []


def test_at_speed_0_the_video_waits_for_the_next_line_with_a_time():
    conversation = Conversation(
        slowly("0:01 a", "what b", "0:07 c"),
        speed=0,
        ends_with_input=False,
        reads_times=True,
        first_line_seconds=2,
    )
    assert [texts(conversation.until(seconds)) for seconds in range(9)] == [
        [], [], ["a", "what b"], [], [], [], [], [], ["c"],
    ]  # fmt: skip


def test_a_line_without_a_time_comes_when_it_is_typed_once_the_time_before_it_has_passed():
    conversation = Conversation(slowly("0:00.1 a", "b"), speed=1, ends_with_input=False, reads_times=True)
    list(conversation.until(0))
    assert texts(conversation.until(0.4)) == ["a"]
    assert [(line.text, line.at_seconds) for line in conversation.until(1)] == [("b", None)]


def test_the_end_of_a_terminals_input_means_quit():
    conversation = Conversation([], speed=1, ends_with_input=True)
    assert list(conversation.rest()) == []
    assert conversation.is_over

"""Stories are the same for the same seed, and every question has one answer that the sentences tell."""

from __future__ import annotations

import re

import pytest

from hermes_lab.sentences.stories import GROUPS, NUM_OPTIONS, QUIET, Cloze, Story, tell_story

LENGTHS = (8, 24, 80)


@pytest.fixture(scope="module", params=LENGTHS)
def stories(request) -> list[Story]:
    return [tell_story(seed, request.param) for seed in range(30)]


def test_the_same_seed_tells_the_same():
    assert tell_story(5, 24) == tell_story(5, 24)
    assert tell_story(5, 24) != tell_story(6, 24)


def test_a_story_has_its_length_and_asks_in_order(stories):
    lengths = {len(story.sentences) for story in stories}
    assert len(lengths) == 1
    for story in stories:
        asked = [one.asked_frames for one in story.questions]
        assert asked == sorted(asked)
        assert asked[-1] == len(story.sentences)


def test_every_kind_is_asked(stories):
    kinds = {one.kind for story in stories for one in story.questions}
    assert kinds == {kind for own in GROUPS.values() for kind in own}


def decided_by(story: Story, question: Cloze) -> list[tuple[int, str]]:
    """Find the answer by reading what was shown: every sentence that decides, and what it says."""
    shown, found = story.sentences[: question.asked_frames], []
    for frame, text in enumerate(shown):
        put = re.fullmatch(r"(\w+) puts a (\w+ \w+) in the (\w+)\.", text)
        stop = re.fullmatch(r"A \w+ (\w+) stops outside\.", text)
        if put and question.kind in ("now", "where"):
            who, thing, room = put.groups()
            if question.text.endswith(f"{who} put the {thing} in the"):
                found.append((frame, room))
        elif put and question.kind == "who":
            who, thing, room = put.groups()
            if question.text.endswith(f"The {thing} was put in the {room} by"):
                found.append((frame, who))
        elif stop and question.kind in ("first", "last"):
            found.append((frame, stop[1]))
        else:
            assert put or stop or text in QUIET
    return found[:1] if question.kind == "first" else found[-1:] if question.kind == "last" else found


def test_answers_are_what_the_sentences_tell(stories):
    for story in stories:
        for question in story.questions:
            right = question.options[question.answer_index]
            frame = question.asked_frames - 1 - question.delay_frames
            assert decided_by(story, question) == [(frame, right)]


def test_what_is_now_is_what_was_shown_last(stories):
    asked = [one for story in stories for one in story.questions if one.kind == "now"]
    assert {one.delay_frames for one in asked} == {0}
    assert len(asked) == 3 * len(stories)


def test_options_differ_and_their_order_tells_nothing(stories):
    questions = [one for story in stories for one in story.questions]
    assert all(len(set(one.options)) == NUM_OPTIONS for one in questions)
    places = [sum(one.answer_index == k for one in questions) / len(questions) for k in range(NUM_OPTIONS)]
    assert max(places) < 0.33


def test_a_story_without_sentences_is_refused():
    with pytest.raises(ValueError, match="a story of 3 sentences"):
        tell_story(1, 3)

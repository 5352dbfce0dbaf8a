"""Memories that watch side by side answer as each does alone; work of several streams shares forwards."""

from __future__ import annotations

import pytest
import torch

from hermes_lab.sentences.reader import SentenceReader, frame_of
from hermes_lab.sentences.stories import Cloze, Story
from hermes_lab.sentences.watching import continuation, open_stream, run_together, watch_story
from hermes_stream.policies import FullPolicy, HermesPolicy, RecentNPolicy, WindowPolicy
from hermes_stream.stream.executor import Executor

SENTENCES = ("red circle", "blue square", "green star", "what came first?", "blue circle", "red star")
POLICIES = (
    FullPolicy(),
    HermesPolicy.paper(20),
    WindowPolicy(budget_tokens=18),
    RecentNPolicy(budget_tokens=18),
)


@pytest.fixture(scope="module")
def reader(model) -> SentenceReader:
    return SentenceReader(model, padding=".")


def cloze(asked_frames: int, text: str) -> Cloze:
    return Cloze(
        kind="where",
        asked_frames=asked_frames,
        text=text,
        options=("red", "blue", "green", "star"),
        answer_index=1,
        delay_frames=0,
    )


STORY = Story(
    seed=1,
    sentences=SENTENCES,
    questions=(cloze(3, "what came first?"), cloze(6, "what is"), cloze(6, "what came before the red")),
)


def test_side_by_side_equals_alone(reader):
    together = watch_story(reader, POLICIES, STORY, chunk_frames=2)
    for policy, own in zip(POLICIES, together, strict=True):
        assert [one.question for one in own] == list(STORY.questions)
        (alone,) = watch_story(reader, [policy], STORY, chunk_frames=2)
        for one, other in zip(own, alone, strict=True):
            torch.testing.assert_close(
                torch.tensor(one.log_probabilities),
                torch.tensor(other.log_probabilities),
                rtol=1e-4,
                atol=1e-5,
            )
    assert together[0][2].log_probabilities != together[2][2].log_probabilities


def test_chances_are_those_of_the_options(reader):
    for one in watch_story(reader, [FullPolicy()], STORY, chunk_frames=2)[0]:
        assert torch.tensor(one.log_probabilities).exp().sum() == pytest.approx(1)
        assert one.log_probability == one.log_probabilities[1]
        assert one.is_right == (max(one.log_probabilities) == one.log_probability)


def test_a_question_sees_what_was_shown_until_then(reader):
    """Sentences that wait for their chunk are folded in; those after the question are not seen."""
    (first, *_) = watch_story(reader, [FullPolicy()], STORY, chunk_frames=2)[0]
    stream = open_stream(reader, FullPolicy(), chunk_frames=2)
    for second, sentence in enumerate(SENTENCES[:3]):
        stream.intake.accept(frame_of(sentence, float(second)))
    logits = Executor(reader).run(continuation(stream, "what came first?"))
    ids = [reader.chat.encode(word)[0] for word in first.question.options]
    torch.testing.assert_close(
        torch.tensor(first.log_probabilities), logits[ids].log_softmax(dim=0), rtol=1e-4, atol=1e-5
    )


def test_work_that_needs_nothing_is_done_at_once(reader):
    def nothing():
        yield from ()
        return "done"

    assert run_together(Executor(reader), [nothing(), nothing()]) == ["done", "done"]
    assert run_together(Executor(reader), []) == []

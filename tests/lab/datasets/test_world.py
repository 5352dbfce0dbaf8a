"""A world of the synthetic kind is an episode as any other."""

from __future__ import annotations

from hermes_lab.datasets.world import as_episode
from hermes_stream.synthetic.planning import plan_questions
from hermes_stream.synthetic.world import generate_world


def test_as_an_episode():
    world = generate_world(12, 20)
    asked = plan_questions(world, num_questions=20, seed=0)
    found = as_episode(world, asked, video="videos/v.mp4")
    assert (found.video, found.duration_seconds, found.left_out) == ("videos/v.mp4", 20.0, ())
    assert len({one.question_id for one in found.questions}) == 20
    for one, truth in zip(found.questions, asked, strict=True):
        assert (one.text, one.answer, one.options, one.kind) == (
            truth.text,
            truth.answer,
            truth.options,
            truth.kind,
        )
        assert one.options[one.answer_index] == truth.answer
        assert (one.asked_seconds, one.evidence) == (truth.asked_seconds, truth.evidence)
        assert one.delay_seconds == truth.delay_seconds

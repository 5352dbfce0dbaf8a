"""The shipped checkpoint understands its world: it answers stories that training never saw."""

from __future__ import annotations

import numpy as np
import pytest

from hermes_stream import FullPolicy, HermesPolicy, Session, load_model
from hermes_stream.tiny.questions import ask_at
from hermes_stream.tiny.world import generate_world
from hermes_stream.video.frame import Frame

NUM_STORIES, SECONDS = 12, 48


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny", device="cpu")


def share_right(tiny, policy, kind: str, *, black: bool = False) -> float:
    right = []
    for seed in range(500, 500 + NUM_STORIES):
        world, rng = generate_world(seed, SECONDS), np.random.default_rng(seed)
        session = Session(tiny, policy)
        for frame in world.frames(1):
            image = np.zeros_like(frame.image) if black else frame.image
            session.observe(Frame(pts_seconds=frame.pts_seconds, image=image))
            if frame.pts_seconds % 12 == 11:
                question = ask_at(world, frame.pts_seconds, kind, rng)
                right.append(session.ask(question.text, max_new_tokens=4).text == question.answer)
    return float(np.mean(right))


def test_it_knows_what_is_on_screen_now(tiny):
    assert share_right(tiny, FullPolicy(), "now") >= 0.95
    assert share_right(tiny, HermesPolicy.paper(tiny.card.default_budget_tokens), "now") >= 0.9


def test_it_remembers_what_came_first_from_a_third_of_the_tokens(tiny):
    assert tiny.card.default_budget_tokens * 3 == tiny.card.training_frames * tiny.card.tokens_per_frame
    assert share_right(tiny, FullPolicy(), "first") >= 0.9
    assert share_right(tiny, HermesPolicy.paper(tiny.card.default_budget_tokens), "first") >= 0.75


def test_without_pictures_it_knows_nothing(tiny):
    assert share_right(tiny, FullPolicy(), "first", black=True) <= 0.25

"""The training script: lessons show the truth, full cache only; runs are reproducible and go on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hermes_stream import FullPolicy, Session, load_model
from hermes_stream.tiny.checkpoint import TOKENS_PER_FRAME, build_tokenizer
from hermes_stream.tiny.lessons import IGNORED, Classroom, draw_bank, lesson_mask
from hermes_stream.tiny.train import Recipe, Stage, lesson_positions, train
from hermes_stream.video.frame import Frame


@pytest.fixture(scope="module")
def bank():
    return draw_bank(6, seed=0)


def classroom(bank, **changes) -> Classroom:
    return Classroom(
        tokenizer=build_tokenizer(), bank=bank, num_streams=2, num_frames=5, num_questions=3, **changes
    )


@pytest.fixture(scope="module")
def full_bank():
    """Enough worlds that every thing appears."""
    bank = draw_bank(40, seed=0)
    assert all(bank.clips.values())
    return bank


def test_bank_labels_say_what_pictures_show(full_bank):
    from hermes_stream.tiny.world import COLOURS, THINGS

    for thing, clips in full_bank.clips.items():
        for index in (i for clip in clips for i in clip):
            assert int(full_bank.labels[index]) == 1 + THINGS.index(thing)
            colour = torch.tensor(COLOURS[thing.colour])
            assert (full_bank.pictures[index] == colour).all(-1).any()
    assert all(int(full_bank.labels[i]) == 0 for i in full_bank.empty)


def test_a_lesson_teaches_questions_with_their_answers(full_bank):
    room = classroom(full_bank)
    lesson = room.lesson(np.random.default_rng(0))
    decode = room.tokenizer.decode
    for row in range(2):
        for block in range(3):
            if not lesson.kinds[row * 3 + block]:
                continue
            target = lesson.targets[row, block]
            answer = decode(target[target != IGNORED].tolist())
            assert answer.endswith("<|im_end|>")
            asked, _, said = decode(lesson.token_ids[row, block].tolist()).partition("assistant")
            assert asked.startswith("<pad>")
            assert "?" in asked
            assert said.strip().startswith(answer.removesuffix("<|im_end|>").strip())


def test_a_question_sees_the_frames_before_it_and_itself():
    asked = torch.tensor([[1, 3]])
    mask = lesson_mask(asked, (2, 3, 4, 5))[0, 0]
    assert mask.shape == (2 + 12 + 10,) * 2
    first, second = mask[14:19], mask[19:24]
    assert first[:, :6].all()
    assert not first[:, 6:14].any()
    assert second[:, :14].all()
    assert not second[:, 14:19].any()
    assert not first[:, 19:].any()
    assert torch.equal(second[:, 19:], torch.ones(5, 5, dtype=torch.bool).tril())
    assert torch.equal(mask[:14, :14], torch.ones(14, 14, dtype=torch.bool).tril())


def test_positions_leave_the_gaps_and_questions_follow_their_last_frame(full_bank):
    lesson = classroom(full_bank, max_gap=50).lesson(np.random.default_rng(3))
    positions = lesson_positions(lesson, 2)
    assert lesson.gaps.max() > 0
    video = positions[:, 2 : 2 + 5 * TOKENS_PER_FRAME].view(2, 5, TOKENS_PER_FRAME)
    assert (video.diff(dim=-1) == 1).all()
    jumps = video[:, 1:, 0] - video[:, :-1, -1] - 1
    assert torch.equal(jumps, lesson.gaps[:, 1:])
    asked = positions[:, 2 + 5 * TOKENS_PER_FRAME :].view(2, 3, -1)
    for row in range(2):
        for block in range(3):
            last = video[row, lesson.asked_frames[row, block] - 1, -1]
            assert asked[row, block, 0] == last + 1


RECIPE = Recipe(
    num_bank_worlds=40,
    num_vision_steps=2,
    num_questions=2,
    stages=(
        Stage(num_frames=2, num_steps=60, num_streams=2),
        Stage(num_frames=3, num_steps=60, num_streams=2),
    ),
)


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda module: module)


def test_a_run_is_reproducible_goes_on_where_it_stopped_and_loads_as_any_checkpoint(tmp_path, uncompiled):
    train(tmp_path / "whole", RECIPE)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", RECIPE, on_row=interrupt_at(110))
    train(tmp_path / "parts", RECIPE)
    one, other = (
        load_model(tmp_path / part / "checkpoint", device="cpu").decoder.state_dict()
        for part in ("whole", "parts")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
    session = Session(load_model(tmp_path / "whole" / "checkpoint", device="cpu"), FullPolicy())
    session.observe(Frame(pts_seconds=0, image=np.zeros((96, 96, 3), np.uint8)))
    assert session.ask("what is on screen now?", max_new_tokens=4).text is not None


def interrupt_at(step):
    def on_row(row):
        if row["step"] == step:
            raise KeyboardInterrupt

    return on_row


def test_the_learning_rate_warms_up_holds_and_falls():
    recipe = replace(Recipe(), stages=(Stage(num_frames=1, num_steps=1000),))
    assert recipe.rate_at(0) == pytest.approx(recipe.learning_rate / 100)
    assert recipe.rate_at(500) == recipe.learning_rate
    assert recipe.rate_at(999) < recipe.learning_rate / 50

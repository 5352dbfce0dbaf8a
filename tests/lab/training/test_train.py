"""The training script: batches show the truth, full cache only; runs are reproducible and go on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from hermes_lab.cli.train import train as command
from hermes_lab.training.batch import question_mask
from hermes_lab.training.batch_builder import BatchBuilder
from hermes_lab.training.checkpoint import TOKENS_PER_TEMPORAL_PATCH
from hermes_lab.training.decoder import Decoder
from hermes_lab.training.llava_onevision import LlavaOnevisionFamily
from hermes_lab.training.recipe import Recipe, Stage
from hermes_lab.training.stories import (
    IGNORED,
    LABELS,
    draw_worlds,
    frame_centres,
    frame_labels,
    render_story,
)
from hermes_lab.training.train import FAMILIES, train
from hermes_lab.training.vision import render_samples
from hermes_stream import FullPolicy, Session, load_model
from hermes_stream.synthetic.world import COLOURS, MOTIONS, SHAPES, Pace, generate_world
from hermes_stream.video.frame import Frame

LLAVA = LlavaOnevisionFamily()
BUSY = Pace(stay_seconds=(2, 4), entry_seconds=(1, 2), quiet_share=0.0)


def make_builder(num_seconds=8, **changes) -> BatchBuilder:
    worlds = draw_worlds(6, num_seconds, BUSY, seed=0)
    return BatchBuilder(
        family=LLAVA,
        chat=LLAVA.build_chat(),
        worlds=worlds,
        num_streams=2,
        num_seconds=num_seconds,
        num_questions=10,
        **changes,
    )


def test_labels_say_what_the_story_says():
    world = generate_world(4, 30, pace=BUSY)
    labels, centres = frame_labels(world, 30), frame_centres(world, 30)
    order = list(world.appearances)
    for second in range(30):
        shown = {a.cell_at(second): a for a in world.on_screen(second)}
        for cell in range(9):
            row = dict(zip(LABELS, labels[second, cell].tolist(), strict=True))
            if cell not in shown:
                assert set(row.values()) == {IGNORED}
                continue
            appearance = shown[cell]
            i = order.index(appearance)
            assert list(COLOURS)[row["colour"]] == appearance.thing.colour
            assert SHAPES[row["shape"]] == appearance.thing.shape
            age = second - appearance.enters_seconds
            assert row["just_came"] == (age == 0)
            assert row["motion"] == (IGNORED if age < 2 else list(MOTIONS).index(appearance.motion))
            before = order[i - 1].thing if i else None
            assert row["colour_before"] == (list(COLOURS).index(before.colour) if before else len(COLOURS))
            assert row["shape_before"] == (SHAPES.index(before.shape) if before else len(SHAPES))
            count = sum(a.thing.shape == appearance.thing.shape for a in order[: i + 1])
            assert row["count_of_shape"] == (count if count < 10 else IGNORED)
            assert centres[second, cell].tolist() == pytest.approx(appearance.centre_at(second))


def test_frames_that_went_through_the_codec_are_nearly_the_same():
    world = generate_world(1, 6)
    plain, coded = (render_story(world, 6, through_codec=through) for through in (False, True))
    assert len(plain) == len(coded) == 6
    errors = [np.abs(a.astype(int) - b).mean() for a, b in zip(plain, coded, strict=True)]
    assert 0 < max(errors) < 6
    pixels = render_samples(LLAVA, (world, world), 6).pixels
    assert pixels.shape == (2, 6, 3, 72, 72)
    assert not torch.equal(pixels[0], pixels[1])


def test_a_batch_asks_questions_with_their_answers():
    builder = make_builder()
    batch = builder.draw(np.random.default_rng(0))
    decode = builder.chat.tokenizer.decode
    assert set(batch.kinds) > {"now_what", "first", "was_there", "counting"}
    for row in range(2):
        for block in range(10):
            if not batch.kinds[row * 10 + block]:
                continue
            target = batch.targets[row, block]
            answer = decode(target[target != IGNORED].tolist())
            assert answer.endswith("<|im_end|>")
            asked, _, said = decode(batch.token_ids[row, block].tolist()).partition("assistant")
            assert asked.startswith("<pad>")
            assert "?" in asked
            assert "<unk>" not in asked + said
            assert said.strip().startswith(answer.removesuffix("<|im_end|>").strip())


def test_where_positions_jump_nothing_is_asked_about_time():
    builder = make_builder(max_gap=50)
    for seed in range(5):
        batch = builder.draw(np.random.default_rng(seed))
        for row in range(2):
            if batch.gaps[row].any():
                assert "how_long_ago" not in batch.kinds[row * 10 : row * 10 + 10]


def test_a_question_sees_the_frames_before_it_and_itself():
    mask = question_mask(torch.tensor([[1, 3]]), (2, 3, 4, 5))[0, 0]
    assert mask.shape == (10, 2 + 12 + 10)
    first, second = mask[:5], mask[5:]
    assert first[:, :6].all()
    assert not first[:, 6:14].any()
    assert second[:, :14].all()
    assert not second[:, 14:19].any()
    assert not first[:, 19:].any()
    assert torch.equal(second[:, 19:], torch.ones(5, 5, dtype=torch.bool).tril())


@torch.no_grad()
def test_a_question_among_others_is_answered_as_if_it_were_alone():
    builder, model = make_builder(num_seconds=4), LLAVA.build_model(0, None)
    model.model.language_model.config.use_cache = False
    prefix = builder.chat.prefix_ids
    decoder = Decoder(model, prefix, LLAVA.video_end(model))
    batch = builder.draw(np.random.default_rng(1))
    video = torch.randn(2, 4, TOKENS_PER_TEMPORAL_PATCH, 128)
    shape = (len(prefix), 4, TOKENS_PER_TEMPORAL_PATCH, builder.block_tokens)
    mask = question_mask(batch.num_visible_patches, shape)
    logits, auxiliary = decoder(video, batch.token_ids, LLAVA.position_ids(batch, len(prefix)), mask)
    assert auxiliary.shape == (2, 4 * TOKENS_PER_TEMPORAL_PATCH, sum(LABELS.values()))
    logits = logits.view(2, 10, builder.block_tokens, -1)
    model.set_attn_implementation({"text_config": "sdpa"})
    words = model.model.language_model.embed_tokens
    for row, block in ((0, 0), (1, 7)):
        seen = video[row, : batch.num_visible_patches[row, block]].flatten(0, 1)
        asked = [model.model.image_newline[None], words(batch.token_ids[row, block, 1:])]
        alone = torch.cat([words(torch.tensor(prefix)), seen, *asked])[None]
        hidden = model.model.language_model(inputs_embeds=alone).last_hidden_state[0, -builder.block_tokens :]
        assert torch.allclose(hidden @ words.weight.T, logits[row, block], atol=1e-4)


def test_positions_leave_the_gaps_and_questions_follow_their_last_frame():
    batch = make_builder(max_gap=50).draw(np.random.default_rng(3))
    positions = LLAVA.position_ids(batch, 2)
    assert batch.gaps.max() > 0
    video = positions[:, 2 : 2 + 8 * TOKENS_PER_TEMPORAL_PATCH].view(2, 8, TOKENS_PER_TEMPORAL_PATCH)
    assert (video.diff(dim=-1) == 1).all()
    jumps = video[:, 1:, 0] - video[:, :-1, -1] - 1
    assert torch.equal(jumps, batch.gaps[:, 1:])
    asked = positions[:, 2 + 8 * TOKENS_PER_TEMPORAL_PATCH :].view(2, 10, -1)
    for row in range(2):
        for block in range(10):
            last = video[row, batch.num_visible_patches[row, block] - 1, -1]
            assert asked[row, block, 0] == last + 1


RECIPE = Recipe(
    vision=Stage(num_seconds=4, num_steps=2, num_worlds=6, pace=BUSY),
    num_questions=2,
    stages=(
        Stage(num_seconds=3, num_steps=6, num_streams=2, num_worlds=4, pace=BUSY),
        Stage(num_seconds=4, num_steps=6, num_streams=2, num_worlds=4, max_gap=5),
    ),
)

SHORT = replace(RECIPE, stages=(Stage(num_seconds=3, num_steps=2, num_streams=2, num_worlds=4, pace=BUSY),))


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda module, dynamic: module)


def test_a_run_is_reproducible_goes_on_where_it_stopped_and_loads_as_any_checkpoint(
    tmp_path, uncompiled, monkeypatch
):
    monkeypatch.setattr("hermes_lab.training.train._ROW_STEPS", 4)
    train(tmp_path / "whole", RECIPE)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", RECIPE, on_progress=interrupt_at(10))
    train(tmp_path / "parts", RECIPE)
    one, other = (
        load_model(tmp_path / part / "checkpoint", device="cpu").decoder.state_dict()
        for part in ("whole", "parts")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
    session = Session(load_model(tmp_path / "whole" / "checkpoint", device="cpu"), FullPolicy())
    session.observe(Frame(pts_seconds=0, image=np.zeros((96, 96, 3), np.uint8)))
    assert session.ask("what is on screen now?", max_new_tokens=4).token_ids


def interrupt_at(step):
    def on_progress(row):
        if row["step"] == step:
            raise KeyboardInterrupt

    return on_progress


def test_the_learning_rate_warms_up_holds_and_falls():
    recipe = replace(Recipe(), stages=(Stage(num_seconds=1, num_steps=1000),))
    assert recipe.learning_rate_scale(0) == pytest.approx(1 / 100)
    assert recipe.learning_rate_scale(500) == 1
    assert recipe.learning_rate_scale(999) < 1 / 50


def test_the_command_trains_what_the_recipe_says_and_prints_the_curve(tmp_path, uncompiled, monkeypatch):
    app = typer.Typer()
    app.command()(command)
    monkeypatch.setitem(FAMILIES, "llava_onevision", (LLAVA, lambda seed: replace(SHORT, seed=seed)))
    outcome = CliRunner().invoke(app, ["--out", str(tmp_path), "--seed", "3"])
    assert outcome.exit_code == 0, outcome.output
    assert [json.loads(line)["step"] for line in outcome.stdout.splitlines()] == [2]
    assert json.loads((tmp_path / "recipe.json").read_text())["seed"] == 3
    assert (tmp_path / "checkpoint" / "model.safetensors").exists()

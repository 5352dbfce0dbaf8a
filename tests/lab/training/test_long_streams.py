"""What a memory leaves of long streams: questions read it in training as they would live."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from hermes_lab.training.batch_builder import BatchBuilder
from hermes_lab.training.decoder import Decoder
from hermes_lab.training.long_streams import LongStreams
from hermes_lab.training.lottery import Lottery
from hermes_lab.training.recipe import Recipe, Stage
from hermes_lab.training.train import FAMILIES, train
from hermes_stream import Session, load_model
from hermes_stream.attention import forward
from hermes_stream.models.loading.load import embedded_folder
from hermes_stream.stream.context import question_segment
from hermes_stream.synthetic.world import generate_world

SHIPPED = {"tiny": "llava_onevision", "tiny-qwen": "qwen2_5_vl"}
SECONDS = 40  # more than the budget holds


def make(name: str) -> tuple[LongStreams, Decoder]:
    family, _ = FAMILIES[SHIPPED[name]]
    model = family.build_model(0, None)
    weights = type(model).from_pretrained(str(embedded_folder(name)), dtype=torch.float32)
    model.load_state_dict(weights.state_dict())
    chat = family.build_chat()
    builder = BatchBuilder(
        family=family,
        chat=chat,
        worlds=(generate_world(5, SECONDS), generate_world(6, SECONDS)),
        num_seconds=SECONDS,
        num_questions=6,
    )
    streams = LongStreams(family, model, builder, num_moments=5)
    return streams, Decoder(model, chat.prefix_ids, family.video_end(model))


@pytest.mark.parametrize("is_lottery", [False, True])
@pytest.mark.parametrize(
    ("name", "chunk_frames"), [("tiny", 1), ("tiny", 16), ("tiny-qwen", 2), ("tiny-qwen", 16)]
)
def test_questions_read_a_memory_in_training_as_they_do_live(name, chunk_frames, is_lottery):
    streams, decoder = make(name)
    world, moments = generate_world(3, SECONDS), (21.2, 33.0)
    fps, rng = FAMILIES[SHIPPED[name]][0].fps, np.random.default_rng(4)
    policy = Lottery.drawn(world, fps, 144, rng) if is_lottery else "hermes"
    held = list(streams.watch(world, moments, policy=policy, chunk_frames=chunk_frames))
    batch = streams.ask(held, np.random.default_rng(0), share_written=0)
    assert_reads_as_live(decoder, batch, held, name=name, policy=policy, chunk_frames=chunk_frames)


@pytest.mark.parametrize(
    ("name", "chunk_frames"), [("tiny", 1), ("tiny", 16), ("tiny-qwen", 2), ("tiny-qwen", 16)]
)
def test_the_newest_tokens_are_written_in_training_as_they_are_live(name, chunk_frames):
    streams, decoder = make(name)
    # an odd number of frames, a chunk's end and what is behind it, before anything is evicted
    moments = (5.0, 7.5, 8.0, 11.0)
    held = list(streams.watch(generate_world(3, SECONDS), moments, policy="full", chunk_frames=chunk_frames))
    batch = streams.ask(held, np.random.default_rng(0), share_written=1)
    assert (batch.is_newest.sum(1) >= 9).all()
    assert batch.is_newest.sum(1).max() == 9 * (1 if chunk_frames < 16 else 6)
    is_held = batch.is_held[:, None, :, None]  # nobody reads what was written live
    batch = replace(batch, keys=batch.keys * is_held, values=batch.values * is_held)
    assert_reads_as_live(decoder, batch, held, name=name, policy="full", chunk_frames=chunk_frames)


def assert_reads_as_live(decoder, batch, held, *, name, policy, chunk_frames):
    with torch.no_grad():
        read = decoder.read(batch)
    live, world = load_model(name, device="cpu"), held[0].world
    session, num_asked = Session(live, policy, chunk_frames=chunk_frames), 0
    for frame in world.frames(live.card.default_fps):
        session.observe(frame)
        for row, moment in enumerate(held):
            if moment.seconds != frame.pts_seconds:
                continue
            session.flush()
            assert max(session.cache.num_visual_tokens) <= 144
            for question in batch.question_idx[row].unique():
                own = batch.question_idx[row] == question
                if question < 0:
                    continue
                ids = batch.token_ids[row, own].tolist()
                first = live.video_end if len(live.video_end) else live.embed(ids[:1])
                logits = logits_of(live, session, torch.cat([first, live.embed(ids[1:])]))
                torch.testing.assert_close(read[row, own], logits, rtol=1e-3, atol=1e-3)
                num_asked += 1
    assert num_asked == sum(map(bool, batch.kinds)) > 6


@torch.inference_mode()
def logits_of(live, session, embeddings):
    mark = session.cache.mark()
    (hidden,) = forward(live.decoder, [question_segment(session.cache, embeddings)])
    session.cache.rewind(mark)
    return live.logits(hidden)


def test_a_memory_watches_with_the_weights_of_now():
    streams, decoder = make("tiny")
    world = generate_world(3, SECONDS)
    (before,) = streams.watch(world, [30.0], policy="hermes", chunk_frames=16)
    with torch.no_grad():
        decoder.text.layers[0].mlp.down_proj.weight.mul_(0.5)
        decoder.video_end.mul_(0.5)
    (behind,) = streams.watch(world, [30.0], policy="hermes", chunk_frames=16)
    assert not torch.equal(before.values[-1], behind.values[-1])


def test_what_is_held_teaches_through_the_tokens_of_questions():
    streams, decoder = make("tiny")
    batch = streams.draw(np.random.default_rng(0), 0)
    batch = replace(batch, newest=batch.newest.requires_grad_())
    decoder.read(batch).logsumexp(-1).sum().backward()
    assert (batch.newest.grad.abs().sum(-1) > 0).equal(batch.is_newest)
    layer = decoder.text.layers[-1]
    assert all(weight.grad.abs().sum() > 0 for weight in layer.parameters() if weight.grad is not None)
    assert layer.self_attn.q_proj.weight.grad is not None
    assert decoder.video_end.grad.abs().sum() > 0


def test_moments_are_of_the_stories_watched_last():
    streams, _ = make("tiny")
    rng = np.random.default_rng(1)
    first, second = streams.draw(rng, 0), streams.draw(rng, 1)
    assert first.token_ids.shape == second.token_ids.shape
    assert not torch.equal(first.token_ids, second.token_ids)
    streams.draw(rng, 2)
    worlds = {moment.world.seed for story in streams.stories for moment in story}
    assert worlds == {5, 6}


def test_a_stage_of_long_streams_tells_what_memories_knew(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda *_, **__: None)
    short = {"num_seconds": 4, "num_steps": 2, "num_streams": 2, "num_worlds": 2}
    stage = Stage(**short, long_seconds=SECONDS)
    recipe = Recipe(
        vision=Stage(**short), steady=replace(Recipe().steady, num_steps=0), stages=(stage,), num_questions=8
    )
    train(tmp_path, recipe)
    row = json.loads((tmp_path / "curve.jsonl").read_text().splitlines()[-1])
    assert {"held_now_what", "held_counting", "held_how_long_ago"} <= set(row)


@pytest.mark.parametrize("by_layer", [False, True])
def test_a_lottery_keeps_the_newest_whole_and_things_before_walls(by_layer):
    world = generate_world(3, 120)
    drawn = (Lottery.drawn(world, 1, 100, np.random.default_rng(seed)) for seed in range(30))
    # one that does not fade, and clearly prefers things
    lottery = next(one for one in drawn if one.odds.min() == 1 and one.odds[one.odds > 1].min() > 4)
    lottery = replace(lottery, by_layer=by_layer, num_whole=2)
    session = Session(load_model("tiny", device="cpu"), lottery, chunk_frames=16)
    for frame in world.frames(1):
        session.observe(frame)
    session.flush()
    state = session.cache.state()
    for layer in range(state.num_layers):
        seconds, cells = state.pts_seconds[layer].long(), state.grid_indices[layer]
        assert len(seconds) == 100
        assert (seconds >= 118).sum() == 18
        odds = lottery.odds[seconds, cells][seconds < 118]
        share_of_things = (lottery.odds[:118] > 1).float().mean()
        assert (odds > 1).float().mean() > 2 * share_of_things
    alike = all(torch.equal(state.token_ids[0], row) for row in state.token_ids)
    assert alike is not by_layer


def test_a_lottery_is_another_in_each_story():
    world = generate_world(3, 120)
    drawn = [Lottery.drawn(world, 1, 100, np.random.default_rng(seed)) for seed in range(30)]
    assert len({one.seed for one in drawn}) == 30
    assert len({one.num_whole for one in drawn}) >= 5
    assert {one.by_layer for one in drawn} == {False, True}
    assert not torch.equal(drawn[0].odds, drawn[1].odds)
    walls = [one.odds.amin(dim=1) for one in drawn]
    num_fading = sum(bool(one[0] < one[-1]) for one in walls)
    assert 5 <= num_fading <= 25
    assert all((one[1:] >= one[:-1]).all() for one in walls), "what is older never has better odds"
    # what is best is more or less so, against a wall of the same second
    best = [float((one.odds.amax(dim=1) / wall).max()) for one, wall in zip(drawn, walls, strict=True)]
    assert min(best) < 20 < 100 < max(best) <= 1800

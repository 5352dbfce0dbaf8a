"""The training script: batches show the truth, full cache only; runs are reproducible and go on."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import typer
from torch import nn
from torch.nn import functional as F
from typer.testing import CliRunner

from hermes_lab.cli.train import train as command
from hermes_lab.training.batch import NO_QUESTION, training_attention, visibility
from hermes_lab.training.batch_builder import BatchBuilder
from hermes_lab.training.checkpoint import TOKENS_PER_TEMPORAL_PATCH
from hermes_lab.training.decoder import Decoder
from hermes_lab.training.family import draw_patch_gaps
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
from hermes_lab.training.vision import hire_artists, render_samples, steady_vision
from hermes_stream import FullPolicy, Session, load_model
from hermes_stream.synthetic.questions import AGES, ALL_KINDS, TIMED_KINDS
from hermes_stream.synthetic.standing_questions import spoken_seconds
from hermes_stream.synthetic.world import COLOURS, MOTIONS, SHAPES, Pace, cell_of, generate_world
from hermes_stream.video.frame import Frame

LLAVA = LlavaOnevisionFamily()
BUSY = Pace(stay_seconds=(2, 4), entry_seconds=(1, 2), quiet_share=0.0)


def make_builder(num_seconds=8, num_streams=2, **changes) -> BatchBuilder:
    worlds = draw_worlds(6, num_seconds, BUSY, seed=0)
    return BatchBuilder(
        family=LLAVA,
        chat=LLAVA.build_chat(),
        worlds=worlds,
        num_streams=num_streams,
        num_seconds=num_seconds,
        num_questions=10,
        **changes,
    )


def test_artists_render_what_is_rendered_here_in_the_same_order():
    worlds = draw_worlds(3, 4, BUSY, seed=5)
    here = render_samples(LLAVA, worlds, 4)
    with hire_artists() as artists:
        there = render_samples(LLAVA, worlds, 4, artists=artists)
    for name in ("pixels", "patch_frames", "labels", "centres"):
        torch.testing.assert_close(getattr(there, name), getattr(here, name), rtol=0, atol=0)


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
        for number in range(10):
            own = batch.question_idx[row] == number
            assert own.any() == bool(batch.kinds[row * 10 + number])
            if not own.any():
                continue
            assert batch.offsets[row, own].tolist() == list(range(own.sum()))
            target = batch.targets[row, own]
            answer = decode(target[target != IGNORED].tolist())
            assert answer.endswith("<|im_end|>")
            asked, _, said = decode(batch.token_ids[row, own].tolist()).partition("assistant")
            assert asked.startswith("<pad>")
            assert "?" in asked
            assert "<unk>" not in asked + said
            assert said.strip().startswith(answer.removesuffix("<|im_end|>").strip())
        behind = batch.question_idx[row] == NO_QUESTION
        assert (batch.targets[row, behind] == IGNORED).all()
        assert (batch.offsets[row, behind] > 0).all()


def test_questions_that_find_no_room_are_left_out():
    batch = make_builder(tokens_per_question=5).draw(np.random.default_rng(0))
    assert batch.token_ids.shape == (2, 50)
    assert 2 <= sum(bool(kind) for kind in batch.kinds) <= 10


def test_every_kind_is_asked_and_known_words_are_enough():
    builder = make_builder(num_seconds=16, kinds=tuple(ALL_KINDS))
    kinds: Counter[str] = Counter()
    for seed in range(20):
        batch = builder.draw(np.random.default_rng(seed))
        kinds.update(batch.kinds)
        assert builder.chat.tokenizer.unk_token_id not in batch.token_ids
    assert set(kinds) - {""} == set(ALL_KINDS)
    every = " ".join(spoken_seconds(seconds) for seconds in range(1, 60))
    assert "<unk>" not in builder.chat.tokenizer.decode(builder.chat.encode(every))


def test_an_answer_is_right_if_all_its_tokens_are():
    batch = make_builder().draw(np.random.default_rng(0))
    assert batch.right_answers(batch.targets).all()
    wrong = batch.targets.clone()
    last = int((batch.targets[0] != IGNORED).nonzero()[-1])
    wrong[0, last] += 1
    hits = batch.right_answers(wrong)
    assert (~hits).nonzero().tolist() == [[0, int(batch.question_idx[0, last])]]


def test_where_positions_jump_within_frames_nothing_is_asked_about_time():
    builder, kinds = make_builder(max_gap=50, kinds=tuple(ALL_KINDS)), Counter()
    for seed in range(40):
        batch = builder.draw(np.random.default_rng(seed))
        for row in range(2):
            asked = {*batch.kinds[row * 10 : row * 10 + 10]}
            is_within = bool(batch.gaps[row, :, 1:].any())
            kinds[is_within, bool(batch.gaps[row].any()), bool(asked & {*TIMED_KINDS})] += 1
    assert kinds[False, True, True] > 0
    assert kinds[True, True, False] > 0
    assert kinds[True, True, True] == 0


def test_where_the_clock_jumps_it_tells_how_long_ago_a_thing_came():
    """A thing came as many seconds ago as the clock went on since, jumps and late questions and all."""
    builder = make_builder(
        num_seconds=24,
        num_streams=1,
        max_gap=20,
        far_gap=400,
        kinds=("how_long_ago", "came_since", "first"),
        asks_late_about_time=True,
    )
    words, changed = builder.chat.tokenizer, Counter()
    for seed in range(160):
        batch = builder.draw(np.random.default_rng(seed))
        if not batch.gaps.any() or batch.gaps[0, :, 1:].any():
            continue
        world, patches = builder.worlds[int(batch.stories[0])], batch.patches[0]
        shown = LLAVA.list_patches(24)[patches, -1] / LLAVA.fps
        clock = shown + batch.gaps[0, :, 0].cumsum(0) / TOKENS_PER_TEMPORAL_PATCH
        for number, kind in enumerate(batch.kinds):
            if kind not in TIMED_KINDS:
                continue
            own = batch.question_idx[0] == number
            text = words.decode(batch.token_ids[0][own])
            answer = words.decode(batch.targets[0][own & (batch.targets[0] != IGNORED)])
            last = int(batch.num_visible_patches[0, number]) - 1
            thing = re.search(r"(first |last |)(\w+ \w+) come", text)
            came = [a for a in world.seen(float(shown[last])) if str(a.thing) == thing[2]]
            later = float(batch.question_gaps[0, number]) / TOKENS_PER_TEMPORAL_PATCH
            ago = [float(clock[last] - clock[(shown < a.enters_seconds).sum()]) + later for a in came]
            if kind == "how_long_ago":
                age = ago[0] if thing[1] != "last " else ago[-1]
                low, high = next(span for words, span in AGES.items() if words in answer)
                assert low <= age < high
                plain = float(shown[last]) - came[0 if thing[1] != "last " else -1].enters_seconds
                changed[low <= plain < high] += 1
            else:
                elapsed = next(k for k in range(59, 0, -1) if f"answered {spoken_seconds(k)} ago" in text)
                assert ("yes" in answer) == any(one < elapsed for one in ago)
    assert changed[True] > 20
    assert changed[False] > 20, "some answers follow the clock and not the story"


def test_a_question_sees_the_frames_before_it_and_itself():
    batch = replace(
        make_builder(num_seconds=3).draw(np.random.default_rng(0)),
        num_visible_patches=torch.tensor([[1, 3]]),
        question_idx=torch.tensor([[0] * 4 + [1] * 5 + [NO_QUESTION]]),
    )
    mask = visibility(batch, 2, 4)[0, 0]
    assert mask.shape == (10, 2 + 12 + 10)
    first, second, behind = mask[:4], mask[4:9], mask[9]
    assert first[:, :6].all()
    assert not first[:, 6:14].any()
    assert second[:, :14].all()
    assert not second[:, 14:18].any()
    assert not first[:, 18:].any()
    assert torch.equal(second[:, 18:23], torch.ones(5, 5, dtype=torch.bool).tril())
    assert behind[-1]
    assert not behind[14:-1].any()


def test_what_is_lost_is_seen_while_it_is_new_and_hidden_patches_are_not_seen_at_all():
    walls = torch.zeros(6, len(LLAVA.list_patches(6)), TOKENS_PER_TEMPORAL_PATCH, dtype=torch.bool)
    losing = {"max_lost_share": 0.97, "has_thing": walls}
    builder = make_builder(num_seconds=6, asks_the_newest=True, kinds=("now_what",), **losing)
    batch = next(
        one
        for one in map(builder.draw, map(np.random.default_rng, range(50)))
        if one.is_lost is not None and one.is_lost[0].any() and one.num_hidden_patches[0].any()
    )
    mask, num_visual = visibility(batch, 2, TOKENS_PER_TEMPORAL_PATCH)[0, 0], 6 * TOKENS_PER_TEMPORAL_PATCH
    assert mask.shape[0] == mask.shape[1] == 2 + num_visual + batch.token_ids.shape[1]
    patch, is_lost, num_whole = np.arange(num_visual) // 9, batch.is_lost[0].flatten(), batch.num_whole[0]
    for row in range(num_visual):
        is_left = ~is_lost | torch.from_numpy(patch[row] - patch < int(num_whole))
        wanted = is_left & (torch.arange(num_visual) <= row)
        assert torch.equal(mask[2 + row, 2 : 2 + num_visual], wanted)
        assert mask[2 + row, :2].all()
        assert not mask[2 + row, 2 + num_visual :].any()
    for number in range(builder.num_questions):
        if not (own := batch.question_idx[0] == number).any():
            continue
        last, hidden = batch.num_visible_patches[0, number] - 1, batch.num_hidden_patches[0, number]
        seen = torch.from_numpy((patch <= int(last)) & (patch >= int(hidden)))
        seen &= ~is_lost | torch.from_numpy(int(last) - patch < int(num_whole))
        rows = mask[2 + num_visual :][own, 2 : 2 + num_visual]
        assert torch.equal(rows, seen.expand_as(rows))


def test_more_of_the_walls_is_lost_than_of_things():
    shown = torch.zeros(6, 40, 9, dtype=torch.bool)
    shown[..., 3] = True
    builder = make_builder(num_seconds=40, max_lost_share=0.97, has_thing=shown)
    batches = [builder.draw(np.random.default_rng(seed)) for seed in range(1000, 1120)]
    lost = torch.cat([batch.is_lost for batch in batches if batch.is_lost is not None]).float()
    walls, things = lost[..., :3].mean((1, 2)), lost[..., 3].mean(1)
    loses = walls > 0
    assert 0.5 < loses.float().mean() < 0.8
    assert torch.equal(things > 0, loses)
    assert walls[loses].min() > 0.2
    assert walls[loses].max() > 0.9
    assert (things < walls)[loses].float().mean() > 0.9
    whole = torch.cat([batch.num_whole for batch in batches])
    assert 0.5 < (whole == 2).float().mean() < 0.8
    assert whole.unique().tolist() == list(range(1, 9))


def test_where_nothing_is_lost_both_masks_say_the_same():
    batch = make_builder(num_seconds=4).draw(np.random.default_rng(3))
    nothing = torch.zeros(*batch.gaps.shape, dtype=torch.bool)
    text, every = visibility(batch, 2, 9), visibility(replace(batch, is_lost=nothing), 2, 9)
    assert torch.equal(every[:, :, 2 + 36 :], text)
    assert torch.equal(every[0, 0, : 2 + 36, : 2 + 36], torch.ones(38, 38, dtype=torch.bool).tril())
    query, key = torch.randn(2, 4, every.shape[2], 8), torch.randn(2, 2, every.shape[2], 8)
    layer = SimpleNamespace(num_key_value_groups=2)
    outputs = [training_attention(layer, query, key, key, mask)[0] for mask in (text, every)]
    torch.testing.assert_close(*outputs)


def test_places_are_asked_about_as_near_a_border_as_is_said():
    def nearest(clear_of_border):
        builder = make_builder(num_seconds=30, kinds=("now_where",), clear_of_border=clear_of_border)
        distances = []
        for seed in range(10):
            batch = builder.draw(np.random.default_rng(seed))
            for row, story in enumerate(batch.stories.tolist()):
                kinds = batch.kinds[row * 10 : row * 10 + 10]
                lasts = batch.num_visible_patches[row].tolist()
                for last in (last for last, kind in zip(lasts, kinds, strict=True) if kind):
                    shown = builder.worlds[story].on_screen(last - 1)
                    distances.append(max((a.border_distance(last - 1) for a in shown), default=1.0))
        return min(distances)

    assert nearest(0.0) < 0.01
    assert nearest(0.04) >= 0.04


@torch.no_grad()
def test_a_question_among_others_is_answered_as_if_it_were_alone():
    builder, model = make_builder(num_seconds=4), LLAVA.build_model(0, None)
    model.model.language_model.config.use_cache = False
    prefix = builder.chat.prefix_ids
    decoder = Decoder(model, prefix, LLAVA.video_end(model))
    batch = builder.draw(np.random.default_rng(1))
    video = torch.randn(2, 4, TOKENS_PER_TEMPORAL_PATCH, 128)
    batch = replace(batch, question_gaps=torch.zeros_like(batch.question_gaps))
    logits, auxiliary = decoder(video, batch, LLAVA.position_ids(batch, len(prefix)))
    assert auxiliary.shape == (2, 4 * TOKENS_PER_TEMPORAL_PATCH, sum(LABELS.values()))
    model.set_attn_implementation({"text_config": "sdpa"})
    words = model.model.language_model.embed_tokens
    for row in range(2):
        number = sorted(set(batch.question_idx[row].tolist()) - {NO_QUESTION})[-row]
        own = batch.question_idx[row] == number
        seen = video[row, : batch.num_visible_patches[row, number]].flatten(0, 1)
        asked = [model.model.image_newline[None], words(batch.token_ids[row, own][1:])]
        alone = torch.cat([words(torch.tensor(prefix)), seen, *asked])[None]
        hidden = model.model.language_model(inputs_embeds=alone).last_hidden_state[0, -int(own.sum()) :]
        assert torch.allclose(hidden @ words.weight.T, logits[row, own], atol=1e-4)


def test_the_gradient_in_bfloat16_points_where_that_in_float32_points():
    builder, model = make_builder(num_seconds=4), LLAVA.build_model(0, None)
    decoder = Decoder(model, builder.chat.prefix_ids, LLAVA.video_end(model))
    batch, video = builder.draw(np.random.default_rng(1)), torch.randn(2, 4, TOKENS_PER_TEMPORAL_PATCH, 128)
    positions = LLAVA.position_ids(batch, len(builder.chat.prefix_ids))
    gradients = []
    for in_bfloat16 in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
            logits, _ = decoder(video, batch, positions)
            loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED)
        parts = torch.autograd.grad(loss, list(decoder.text.layers.parameters()))
        gradients.append(nn.utils.parameters_to_vector(parts))
    assert not torch.equal(*gradients)
    assert F.cosine_similarity(*gradients, dim=0) > 0.99


def test_positions_leave_the_gaps_and_questions_follow_their_last_frame():
    batch = make_builder(max_gap=50).draw(np.random.default_rng(3))
    positions, tokens = LLAVA.position_ids(batch, 2), 8 * TOKENS_PER_TEMPORAL_PATCH
    assert batch.gaps.max() > 0
    video = positions[:, 2 : 2 + tokens]
    assert torch.equal(video[:, 1:].diff(dim=1) - 1, batch.gaps.flatten(1)[:, 2:])
    for row in range(2):
        for number in range(10):
            own = batch.question_idx[row] == number
            if own.any():
                last = video[row, batch.num_visible_patches[row, number] * TOKENS_PER_TEMPORAL_PATCH - 1]
                asked = positions[row, 2 + tokens :][own]
                assert asked[0] == last + 1 + batch.question_gaps[row, number]
                assert (asked.diff() == 1).all()


def test_the_clock_jumps_between_frames_in_half_of_the_streams_and_within_them_in_a_quarter():
    gaps = LLAVA.draw_gaps(np.random.default_rng(0), 1000, 8, 50)
    between, within = gaps[..., 0].flatten(1).any(dim=1), gaps[..., 1:].flatten(1).any(dim=1)
    assert 0.35 < between.float().mean() < 0.55
    assert 0.15 < within.float().mean() < 0.3
    assert not (within & ~between).any()
    assert not LLAVA.draw_gaps(np.random.default_rng(0), 10, 8, 0).any()
    assert not LLAVA.draw_gaps(np.random.default_rng(0), 10, 8, 0, far_gap=1000).any()


def test_half_of_the_streams_make_a_far_jump_those_without_others_too():
    between = draw_patch_gaps(np.random.default_rng(0), 1000, 8, 50, far_gap=1000)
    far = between > 50
    assert int(between.max()) < 1050
    assert far.sum(axis=1).max() == 1
    assert 0.43 < far.any(axis=1).mean() < 0.53
    is_alone = far.any(axis=1) & ((between > 0).sum(axis=1) == 1)
    assert 0.2 < is_alone.mean() < 0.35


@pytest.mark.parametrize("is_late", [True, False])
def test_questions_stand_at_any_distance_those_about_time_where_it_is_asked_for(is_late):
    builder, gaps = make_builder(kinds=("first", "how_long_ago"), asks_late_about_time=is_late), Counter()
    for seed in range(60):
        batch = builder.draw(np.random.default_rng(seed))
        for kind, gap in zip(batch.kinds, batch.question_gaps.flatten().tolist(), strict=True):
            gaps[kind, gap > 0, gap > 100] += 1
    assert set(gaps) >= {("first", False, False), ("first", True, False), ("first", True, True)}
    assert (("how_long_ago", True, False) in gaps) == is_late
    assert (("how_long_ago", True, True) in gaps) == is_late
    assert max(LLAVA.max_question_gap, 400) == LLAVA.max_question_gap


def test_questions_about_now_are_asked_more_often_right_after_a_change():
    def share(kind: str, **changes) -> float:
        calm = draw_worlds(6, 48, Pace(), seed=0)
        builder, behind = replace(make_builder(num_seconds=48, kinds=(kind,), **changes), worlds=calm), []
        for seed in range(40):
            batch = builder.draw(np.random.default_rng(seed))
            for story, row in zip(batch.stories.tolist(), batch.num_visible_patches.tolist(), strict=True):
                moments = [(a.enters_seconds, a.leaves_seconds) for a in builder.worlds[story].appearances]
                changes_at = {at for moment in moments for at in moment}
                behind += [bool(changes_at & {last - 1, last - 2}) for last in row]
        return float(np.mean(behind))

    plain, asked = share("is_there_now"), share("is_there_now", asks_behind_changes=True)
    assert asked == pytest.approx(0.5 + 0.5 * plain, abs=0.05)
    assert plain < 0.75
    assert share("first", asks_behind_changes=True) == pytest.approx(share("first"))


def test_stories_are_drawn_in_the_scenes_that_are_named_and_some_casts_lack_a_shape():
    plain = draw_worlds(30, 60, Pace(), seed=7)
    assert {world.scene for world in plain} == {"still"}
    mixed = draw_worlds(30, 60, Pace(), seed=7, scenes=("pan", "still"), has_few_shapes=True)
    assert Counter(world.scene for world in mixed).keys() == {"pan", "still"}
    shapes = [len({a.thing.shape for a in world.appearances}) for world in mixed]
    assert 5 < shapes.count(3) < 25
    assert [world.seed for world in mixed] == list(range(7, 37))


def test_labels_follow_a_shaking_picture():
    world = generate_world(4, 30, pace=BUSY, scene="handheld")
    labels, centres = frame_labels(world, 30), frame_centres(world, 30)
    for second in range(30):
        for appearance in world.on_screen(second):
            centre = world.centre_in_picture(appearance, second)
            if min(abs(share - k / 3) for share in centre for k in (1, 2)) > 0.04:
                cell = cell_of(centre)
                assert list(COLOURS)[labels[second, cell, 0]] == appearance.thing.colour
                assert centres[second, cell].tolist() == pytest.approx(centre)


class SmallTower(torch.nn.Module):
    """Two layers behind a picture of six by six."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(108, 64), torch.nn.Linear(64, 36)])

    def forward(self, pixels):
        small = torch.nn.functional.adaptive_avg_pool2d(pixels, 6)
        return self.layers[1](self.layers[0](small.flatten(1)).tanh()).unflatten(1, (9, 4))


class SmallFamily(LlavaOnevisionFamily):
    def vision_modules(self, model):
        return [model]

    def visual_tokens(self, model, pixels):
        return model(pixels[:, 0])


@pytest.mark.parametrize(
    ("scene", "wanted_of", "least"), [("clutter", "still", 2), ("handheld", "handheld", 0)]
)
def test_a_tower_learns_to_see_what_it_saw_before_a_plain_wall(scene, wanted_of, least):
    torch.manual_seed(0)
    family, tower = SmallFamily(), SmallTower()
    scenes = [scene] * 6 + ["still"] * 6
    worlds = tuple(generate_world(k % 6, 8, pace=BUSY, scene=name) for k, name in enumerate(scenes))
    plain = tuple(replace(one, scene=wanted_of) if one.scene == scene else one for one in worlds)

    def tokens(shown):
        samples = render_samples(family, shown, 8, through_codec=False)
        with torch.no_grad():
            pixels = samples.patches(torch.arange(96), noise=0.0, generator=torch.Generator())
            return family.visual_tokens(tower, pixels)

    wanted, before = tokens(plain), tokens(worlds)
    spread = wanted.var(dim=0).mean()
    rates = {"learning_rates": (5e-3, 5e-3), "noise": 0.0, "seed": 0}
    missed = steady_vision(family, tower, worlds, 8, num_steps=150, **rates)
    away_before, away = (
        float((found - wanted).square().mean() / spread) for found in (before, tokens(worlds))
    )
    assert away_before >= least * away
    assert max(missed, away) < 0.2
    assert float((tokens(plain) - wanted).square().mean() / spread) < 0.3


RECIPE = Recipe(
    vision=Stage(num_seconds=4, num_steps=2, num_worlds=6, pace=BUSY),
    steady=Stage(num_seconds=2, num_steps=2, num_worlds=4, pace=BUSY, scenes=("clutter",)),
    num_questions=2,
    stages=(
        Stage(num_seconds=3, num_steps=6, num_streams=2, num_worlds=4, pace=BUSY),
        Stage(num_seconds=4, num_steps=6, num_streams=2, num_worlds=4, max_gap=5),
    ),
)

SHORT = replace(RECIPE, stages=(Stage(num_seconds=3, num_steps=2, num_streams=2, num_worlds=4, pace=BUSY),))


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda called, dynamic: called)


@pytest.mark.long
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
    rows = [json.loads(line) for line in (tmp_path / "parts" / "curve.jsonl").read_text().splitlines()]
    took = [row["run_seconds"] for row in rows]
    assert took == sorted(took)
    assert took[-1] > 0
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
    other = CliRunner().invoke(app, ["--out", str(tmp_path), "--seed", "4"])
    assert other.exit_code == 2
    assert "whose seed is 3" in " ".join(other.output.replace("\u2502", " ").split())
    assert json.loads((tmp_path / "recipe.json").read_text())["seed"] == 3
    refused = CliRunner().invoke(app, ["--out", str(tmp_path), "--start-from", "tiny"])
    assert refused.exit_code == 2
    assert "llava_onevision starts from random weights" in refused.output

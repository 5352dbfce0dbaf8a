"""The second family: patches and positions are transformers' own, streams are patches as they come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from hermes_lab.training.batch import NO_QUESTION
from hermes_lab.training.batch_builder import BatchBuilder
from hermes_lab.training.decoder import Decoder
from hermes_lab.training.qwen2_5_vl import Qwen25VLFamily, to_pixel_patches
from hermes_lab.training.recipe import Recipe, Stage
from hermes_lab.training.stories import draw_worlds
from hermes_lab.training.train import load_start, train
from hermes_lab.training.vision import render_samples
from hermes_stream.synthetic.world import Pace

BUSY = Pace(stay_seconds=(2, 4), entry_seconds=(1, 2), quiet_share=0.0)
QWEN = Qwen25VLFamily()
PREFIX = 3
SECONDS = 12


@pytest.fixture(scope="module")
def start():
    return load_start("tiny")


@pytest.fixture(scope="module")
def model(start):
    return QWEN.build_model(0, start).eval()


def make_builder(**changes) -> BatchBuilder:
    builder = BatchBuilder(
        family=QWEN,
        chat=QWEN.build_chat(),
        worlds=draw_worlds(6, SECONDS, BUSY, seed=0),
        num_streams=8,
        num_seconds=SECONDS,
        num_questions=10,
    )
    return replace(builder, **changes)


def test_patches_lie_by_blocks_that_are_merged():
    pixels = torch.randn(2, 2, 3, 72, 72)
    patches = iter(to_pixel_patches(pixels))
    for temporal_patch in pixels:
        for block_row in range(3):
            for block_column in range(3):
                for row in (2 * block_row, 2 * block_row + 1):
                    for column in (2 * block_column, 2 * block_column + 1):
                        patch = temporal_patch[:, :, 12 * row : 12 * row + 12, 12 * column : 12 * column + 12]
                        assert torch.equal(next(patches), patch.transpose(0, 1).flatten())


@torch.no_grad()
def test_many_temporal_patches_at_once_are_encoded_as_transformers_encodes_each(model):
    pixels = torch.randn(3, 2, 3, 72, 72)
    together = QWEN.visual_tokens(model, pixels)
    model.set_attn_implementation({"vision_config": "sdpa"})
    for temporal_patch, tokens in zip(pixels, together, strict=True):
        alone = model.model.visual(
            to_pixel_patches(temporal_patch[None]), torch.tensor([[1, 6, 6]])
        ).pooler_output
        assert torch.allclose(alone, tokens, atol=1e-5)
    model.set_attn_implementation({"vision_config": "temporal_patches"})


def test_the_template_opens_the_video_before_it_and_closes_it_in_the_question():
    chat = QWEN.build_chat()
    words = chat.tokenizer.convert_ids_to_tokens
    assert words(chat.prefix_ids) == ["<|im_start|>", "user", "<|vision_start|>"]
    asked = words(chat.question_ids("what came first?"))
    assert asked[0] == "<|vision_end|>"
    assert asked[1:5] == ["what", "came", "first", "?"]
    assert asked[-2:] == ["<|im_start|>", "assistant"]


def test_decoder_and_words_come_from_the_first_checkpoint(model, start):
    ours, theirs = model.model.language_model, start.model.language_model
    assert torch.equal(ours.layers[3].mlp.up_proj.weight, theirs.layers[3].mlp.up_proj.weight)
    word, same = (
        family.convert_tokens_to_ids("triangle") for family in (QWEN.build_tokenizer(), tokens_of(start))
    )
    assert word != same
    assert torch.equal(ours.embed_tokens.weight[word], theirs.embed_tokens.weight[same])
    end = model.config.vision_end_token_id
    assert torch.equal(ours.embed_tokens.weight[end], start.model.image_newline)
    assert model.lm_head.weight is ours.embed_tokens.weight


def test_a_start_is_a_shipped_checkpoint_or_a_folder(start):
    assert load_start(None) is None
    other = load_start(start.name_or_path)
    assert torch.equal(other.model.image_newline, start.model.image_newline)
    assert not any(one.requires_grad for one in other.parameters())
    with pytest.raises(ValueError, match=r"or the folder of one, got 'nowhere'"):
        load_start("nowhere")


def tokens_of(model):
    return AutoTokenizer.from_pretrained(model.config._name_or_path)


def test_streams_show_every_frame_in_turn_or_skip_the_one_whose_place_a_repeated_one_took():
    rng, shows = np.random.default_rng(0), QWEN.list_patches(SECONDS)
    skipped, repeated = 0, 0.0
    for patches in QWEN.draw_patches(rng, 200, SECONDS):
        frames = shows[patches]
        steps = frames[1:, 0] - frames[:-1, 1]
        alone = frames[:-1, 0] == frames[:-1, 1]
        assert (steps[~alone] == 1).all()
        assert len(set(steps[alone].tolist())) <= 1
        assert (frames[:, 1] - frames[:, 0] <= 1).all()
        skipped += bool((steps == 2).any())
        repeated += alone.float().mean().item() / 200
    assert 60 < skipped < 120
    assert 0.18 < repeated < 0.27


def test_questions_are_asked_as_often_after_a_repeated_frame_as_after_a_pair():
    builder, after = make_builder(), []
    for seed in range(10):
        batch = builder.draw(np.random.default_rng(seed))
        last = batch.patches.gather(1, batch.num_visible_patches - 1)
        shows = QWEN.list_patches(SECONDS)[last]
        after.append((shows[..., 0] == shows[..., 1]).float().mean())
    assert 0.35 < np.mean(after) < 0.65


def test_labels_are_those_of_the_last_frame_of_a_temporal_patch():
    samples = render_samples(QWEN, draw_worlds(2, 4, BUSY, seed=3), 4)
    assert samples.pixels.shape == (2, 8, 3, 72, 72)
    assert samples.labels.shape[:2] == (2, 8)
    assert samples.patch_frames[:4].tolist() == [[0, 0], [0, 1], [1, 1], [1, 2]]
    assert torch.equal(samples.labels[:, 2, :, 0] >= 0, samples.centres[:, 2].sum(-1) > 0)


def test_positions_of_pairs_are_those_of_transformers_and_text_goes_on_by_the_clock(model):
    config, builder = model.config, make_builder()
    batch = builder.draw(np.random.default_rng(1))
    batch = replace(batch, patches=torch.arange(SECONDS).mul(4).add(1).expand(8, -1))
    ids = torch.tensor([[*builder.chat.prefix_ids, *[config.video_token_id] * (9 * SECONDS)]])
    theirs, _ = model.model.get_rope_index(
        ids,
        mm_token_type_ids=(ids == config.video_token_id).int() * 2,
        video_grid_thw=torch.tensor([[SECONDS, 6, 6]]),
        second_per_grid_ts=torch.tensor([1.0]),
    )
    ours = QWEN.position_ids(batch, PREFIX)[:, :, : ids.shape[1]]
    assert torch.equal(ours, theirs.expand(3, 8, -1))
    # There text follows the grid's side; with long videos that is in the middle of them.
    assert config.text_after_video == "clock"
    asked = QWEN.position_ids(batch, PREFIX)[:, :, ids.shape[1] :]
    ends = PREFIX + (2 * (batch.num_visible_patches - 1)).clamp_min(2) + batch.question_gaps
    opens = batch.offsets == 0
    assert opens.sum() == sum(bool(kind) for kind in batch.kinds)
    assert (asked[:, opens] == batch.of_tokens(ends + 1)[opens]).all()


def test_gaps_are_jumps_of_time_alone_and_the_clock_may_jump_too():
    batch = make_builder(max_gap=8).draw(np.random.default_rng(3))
    positions = QWEN.position_ids(batch, PREFIX)
    video = positions[:, :, PREFIX : PREFIX + 9 * SECONDS].unflatten(2, (SECONDS, 9))
    assert batch.gaps.max() > 0
    assert not batch.gaps[..., 1:].any()
    assert torch.equal(video[0, :, :, 0], PREFIX + batch.patches // 2 + batch.gaps[..., 0].cumsum(1))
    assert (video[1] == PREFIX + torch.arange(3).repeat_interleave(3)).all()
    assert (video[2] == PREFIX + torch.arange(3).repeat(3)).all()
    text = positions[:, :, PREFIX + 9 * SECONDS :]
    assert torch.equal(text[0], text[1])
    for row in range(8):
        for number in range(10):
            own = text[0, row, batch.question_idx[row] == number]
            seen = video[:, row, : batch.num_visible_patches[row, number]]
            start = seen.max() + 1 + batch.question_gaps[row, number]
            assert torch.equal(own, start + torch.arange(len(own)))
    assert batch.question_gaps.max() > 20


@torch.no_grad()
def test_a_question_among_others_is_answered_as_if_it_were_alone(start):
    builder, model = make_builder(max_gap=8), QWEN.build_model(0, start).eval()
    batch = builder.draw(np.random.default_rng(1))
    video = torch.randn(8, SECONDS, 9, 128)
    positions = QWEN.position_ids(batch, PREFIX)
    decoder = Decoder(model, builder.chat.prefix_ids, QWEN.video_end(model))
    logits, _ = decoder(video, batch, positions)
    model.set_attn_implementation({"text_config": "sdpa"})
    text = model.model.language_model
    for row in (0, 5):
        number = sorted(set(batch.question_idx[row].tolist()) - {NO_QUESTION})[-row // 5]
        own = (batch.question_idx[row] == number).nonzero()[:, 0]
        num_seen = 9 * int(batch.num_visible_patches[row, number])
        prefix, asked = (text.embed_tokens(ids) for ids in (decoder.prefix_ids, batch.token_ids[row, own]))
        alone = torch.cat([prefix, video[row].flatten(0, 1)[:num_seen], asked])[None]
        where = torch.cat([torch.arange(PREFIX + num_seen), PREFIX + 9 * SECONDS + own])
        hidden = text(inputs_embeds=alone, position_ids=positions[:, row : row + 1, where]).last_hidden_state
        expected = hidden[0, -len(own) :] @ text.embed_tokens.weight.T
        assert torch.allclose(expected, logits[row, own], atol=1e-4)


@pytest.mark.long
def test_a_run_is_reproducible_and_transformers_loads_what_it_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda called, dynamic: called)
    recipe = replace(
        Recipe.qwen2_5_vl(),
        vision=Stage(num_seconds=3, num_steps=3, num_worlds=4, pace=BUSY),
        steady=Stage(num_seconds=2, num_steps=2, num_worlds=4, pace=BUSY, scenes=("clutter",)),
        num_questions=2,
        stages=(Stage(num_seconds=4, num_steps=5, num_streams=2, num_worlds=4, max_gap=5),),
    )
    states = []
    for part in ("one", "other"):
        train(tmp_path / part, recipe, family=QWEN)
        folder = tmp_path / part / "checkpoint"
        states.append(Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("What came first?").input_ids == QWEN.build_tokenizer()("what came first?").input_ids

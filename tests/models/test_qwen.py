"""What the Qwen-VL adapters make of pictures, before any decoder: positions, times, text, bounds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tests.checkpoints import visual_tokens
from tests.families import BEGIN, END, FAMILIES, QUESTION, pictures, plain_model
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from hermes_stream import ModelError, load_model
from hermes_stream.models.checkpoint import Checkpoint
from hermes_stream.models.qwen_vl import read_preprocessing
from hermes_stream.models.token_layout import mrope_offsets
from hermes_stream.policies.base import GuidancePrompts

NAMES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
IMAGE_FILE = {"min_pixels": 3136, "max_pixels": 12_845_056, "patch_size": 14, "merge_size": 2}
CLIP_FILE = {"size": {"shortest_edge": 4096, "longest_edge": 25_165_824}, "patch_size": 16}


@pytest.fixture(scope="module", params=NAMES)
def family(request, tmp_path_factory):
    """A family's name, the folder of its checkpoint, and its adapter."""
    folder = FAMILIES[request.param].save(tmp_path_factory.mktemp(request.param) / "checkpoint")
    return SimpleNamespace(
        name=request.param,
        folder=folder,
        model=load_model(folder, device="cpu"),
        **vars(FAMILIES[request.param]),
    )


@torch.no_grad()
def encode_in_chunks(model, frames, chunk, start_seconds=0.0):
    parts, num_patches_before = [], 0
    for first in range(0, len(frames), chunk):
        part = visual_tokens(
            model,
            frames[first : first + chunk],
            start_seconds=start_seconds,
            num_patches_before=num_patches_before,
        )
        num_patches_before += part.num_temporal_patches
        parts.append(part)
    return parts


def positions_of(parts, start):
    """Give every token its position as a stream's write clock does."""
    all_positions, clock = [], start
    for part in parts:
        positions = part.offsets + clock
        if part.time is not None:
            positions = part.offsets + start
            positions[0] = start + part.time.floor().long()[part.temporal_patch_index]
        clock = int(positions.max()) + 1
        all_positions.append(positions)
    return torch.cat(all_positions, dim=1)


@pytest.mark.parametrize("size", [(24, 24), (16, 40), (48, 8)])
@pytest.mark.parametrize("chunk", [2, 4, 6, 8])
@torch.no_grad()
def test_chunks_equal_what_transformers_makes_of_the_clip(family, chunk, size):
    frames = pictures(7, fps=2, size=size)
    parts = encode_in_chunks(family.model, frames, chunk)
    plain, inputs = plain_model(family.folder).model, family.inputs(family.folder, frames, QUESTION, fps=2)
    features = plain.get_video_features(
        inputs["pixel_values_videos"], video_grid_thw=inputs["video_grid_thw"], return_dict=True
    )
    is_text = torch.cat([part.is_text for part in parts])
    embeddings = torch.cat([part.embeddings for part in parts])
    expected = torch.cat(features.pooler_output)
    torch.testing.assert_close(embeddings[~is_text], expected, rtol=1e-4, atol=1e-5)
    assert (expected[:-1] - expected[1:]).abs().amax(dim=1).min() > 0.01
    ids = inputs.pop("input_ids")
    del inputs["pixel_values_videos"]
    positions = plain.get_rope_index(ids, **inputs)[0][:, 0]
    prefix = len(family.model.chat.prefix_ids)
    assert ids[0, :prefix].tolist() == family.model.chat.prefix_ids
    after = prefix + len(is_text)
    assert ids[0, after:].tolist() == family.model.chat.question_ids(QUESTION)
    assert torch.equal(positions_of(parts, prefix), positions[:, prefix:after])
    assert torch.equal(embeddings[is_text], family.model.embed(ids[0, prefix:after][is_text].tolist()))
    for part in parts:
        assert part.num_temporal_patches == len(part.seconds) == int(part.temporal_patch_index.max()) + 1
        most = family.model.num_tokens(*size)
        assert (
            torch.bincount(part.temporal_patch_index).max()
            <= most
            <= family.model.card.tokens_per_temporal_patch
        )


@pytest.mark.parametrize("fps", [0.1, 0.3, 0.5, 1, 1.5, 2, 3, 5, 7, 10, 12, 24, 25, 29.97, 30])
@pytest.mark.parametrize("start", [0.0, 1234.56])
@pytest.mark.parametrize("tokens_per_second", [2, 4])
def test_seconds_become_the_times_of_transformers(tmp_path, fps, start, tokens_per_second):
    seconds = torch.tensor([start + k / fps for k in range(0, 400, 2)], dtype=torch.float64)
    ours = ((seconds - start) * tokens_per_second + 1e-3).floor().long()
    interval = tokens_per_second * torch.tensor(2 / fps)
    assert torch.equal(ours, (torch.arange(200) * interval).long())


@torch.no_grad()
def test_time_runs_with_seconds_in_qwen2_5_alone(family):
    slow, fast = (
        visual_tokens(family.model, pictures(6, fps=fps), start_seconds=0.0, num_patches_before=0)
        for fps in (0.5, 2)
    )
    if family.name == "qwen2_5_vl":
        assert slow.time.floor().tolist() == [0, 8, 16]
        assert fast.time.floor().tolist() == [0, 2, 4]
    elif family.name == "qwen2_vl":
        assert torch.equal(slow.time, fast.time)
    else:
        assert slow.time is None
    assert slow.seconds.tolist() == [0, 4, 8]


@torch.no_grad()
def test_a_later_start_changes_nothing(family):
    early, late = (
        visual_tokens(
            family.model, pictures(6, fps=2, start=start), start_seconds=start, num_patches_before=0
        )
        for start in (0.0, 1_700_000_000.1)
    )
    assert torch.equal(early.embeddings, late.embeddings)
    assert early.time is None or torch.equal(early.time.floor(), late.time.floor())
    assert (late.seconds - early.seconds - 1_700_000_000.1).abs().max() < 1e-5


@torch.no_grad()
def test_a_temporal_patch_of_qwen3_has_its_time_between_marks(tmp_path):
    folder = FAMILIES["qwen3_vl"].save(tmp_path)
    model = load_model(folder, device="cpu")
    assert not model.chat.before_video.endswith(BEGIN)
    assert model.chat.before_question.startswith(END)
    first, later = (
        visual_tokens(model, pictures(3, fps=2, start=start), start_seconds=10.0, num_patches_before=before)
        for start, before in ((10.0, 0), (25.0, 15))
    )
    expected_texts = [f"<0.2 seconds>{BEGIN}", f"{END}<1.0 seconds>{BEGIN}"]
    expected_texts += [f"{END}<15.2 seconds>{BEGIN}", f"{END}<16.0 seconds>{BEGIN}"]
    for visual, texts in ((first, expected_texts[:2]), (later, expected_texts[2:])):
        for index, text in enumerate(texts):
            own = (visual.temporal_patch_index == index) & visual.is_text
            assert torch.equal(visual.embeddings[own], model.embed(model.chat.encode(text)))
            assert visual.grid_indices[(visual.temporal_patch_index == index) & ~visual.is_text].tolist() == [
                *range(9)
            ]
    assert first.deepstack.shape == (2, len(first), 64)
    assert (first.deepstack[:, first.is_text] == 0).all()
    assert (first.deepstack[:, ~first.is_text].abs().amax(dim=-1) > 0).all()


def test_text_takes_one_and_a_patch_its_larger_side():
    offsets = mrope_offsets([2, 1], rows=2, columns=3)
    assert offsets.tolist() == [
        [0, 1, *[2] * 6, 5, *[6] * 6],
        [0, 1, 2, 2, 2, 3, 3, 3, 5, 6, 6, 6, 7, 7, 7],
        [0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 7, 8, 6, 7, 8],
    ]


def checkpoint_like(settings, patch_size, max_positions=32_768, **asked):
    text = SimpleNamespace(max_position_embeddings=max_positions)
    vision = SimpleNamespace(patch_size=patch_size, spatial_merge_size=2, temporal_patch_size=2)
    model = SimpleNamespace(config=SimpleNamespace(vision_config=vision, text_config=text))
    return Checkpoint(
        name="like",
        model=model,
        tokenizer=None,
        chat_template=None,
        preprocessing=settings,
        guidance_prompts=GuidancePrompts(),
        multiple_choice="letter",
        stop_token_ids=frozenset(),
        **asked,
    )


@pytest.mark.parametrize(
    ("settings", "bounds", "side", "asked", "tokens"),
    [
        (IMAGE_FILE, "frame", 28, {}, 768),
        ({}, "frame", 28, {}, 768),
        ({"max_pixels": 64 * 28 * 28}, "frame", 28, {}, 64),
        (IMAGE_FILE, "frame", 28, {"min_pixels": None, "max_pixels": 2000 * 28 * 28}, 2000),
        ({}, "frame", 28, {"max_pixels": 80 * 28 * 28}, 80),
        ({}, "frame", 28, {"min_pixels": 900 * 28 * 28}, 1017),
        (CLIP_FILE, "temporal_patch", 32, {}, 768),
        ({}, "temporal_patch", 32, {}, 768),
        (CLIP_FILE, "temporal_patch", 32, {"max_pixels": 100 * 32 * 32}, 100),
    ],
)
def test_a_frame_is_bounded_by_the_file_the_official_video_or_what_was_asked(
    settings, bounds, side, asked, tokens
):
    preprocessing = read_preprocessing(checkpoint_like(settings, side // 2, **asked), bounds=bounds)
    assert preprocessing.max_tokens == tokens
    assert preprocessing.tokens(3000, 4000) >= 0.55 * tokens
    for height, width in ((1, 1), (5, 80), (300, 301), (3000, 4000), (400, 6400)):
        assert preprocessing.tokens(height, width) <= tokens


@pytest.mark.parametrize(("min_tokens", "max_tokens"), [(9, 9), (4, 10), (4, 400), (1, 6)])
def test_both_bounds_of_the_file_hold(min_tokens, max_tokens):
    side = 28
    settings = {"min_pixels": min_tokens * side**2, "max_pixels": max_tokens * side**2}
    preprocessing = read_preprocessing(checkpoint_like(settings, side // 2))
    for height, width in ((20, 30), (56, 57), (90, 33), (400, 300), (700, 60)):
        official = smart_resize(height, width, factor=side, **settings)
        assert preprocessing.resized(height, width) == official
        assert preprocessing.tokens(height, width) <= preprocessing.max_tokens


def test_a_frame_takes_a_sixth_of_few_positions_at_most():
    preprocessing = read_preprocessing(checkpoint_like(IMAGE_FILE, 14, max_positions=1024))
    assert preprocessing.max_tokens == 170
    few = {"max_pixels": 64 * 28 * 28}
    assert read_preprocessing(checkpoint_like(few, 14, max_positions=1024)).max_tokens == 64


def test_contradicting_bounds_are_refused():
    asked = {"min_pixels": 200_000, "max_pixels": 100_000}
    with pytest.raises(ValueError, match="min_pixels must be positive and at most max_pixels"):
        read_preprocessing(checkpoint_like({}, 14, **asked))


def test_the_card_says_what_a_frame_is(family):
    card = family.model.card
    assert card.family == family.name
    assert card.frames_per_temporal_patch == 2
    assert family.model.has_dynamic_resolution
    assert card.default_fps == (2.0 if family.name == "qwen3_vl" else 1.0)
    assert card.text_after_video == ("clock" if family.name == "qwen3_vl" else "picture")
    assert family.model.layout.rotary.num_axes == 3
    assert family.model.video_end.shape == (0, 64)


def test_position_zero_is_no_rotation(family):
    rotary = family.model.decoder.rotary_emb
    cos, sin = rotary(torch.zeros(1), torch.zeros(3, 1, 5, dtype=torch.long))
    assert (cos == 1).all()
    assert (sin == 0).all()


def test_a_config_may_keep_text_behind_the_clock(family, tmp_path):
    folder = shutil.copytree(family.folder, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    changes = {"text_after_video": "clock", "training_fps": 4.0, "training_frames": 9}
    (folder / "config.json").write_text(json.dumps(config | changes))
    card = load_model(folder, device="cpu").card
    assert (card.text_after_video, card.default_fps, card.training_frames) == ("clock", 4.0, 9)
    if family.name != "qwen3_vl":
        (folder / "config.json").write_text(json.dumps(config | {"text_after_video": "nowhere"}))
        with pytest.raises(ModelError, match="'nowhere'; accepted: 'clock', 'picture'"):
            load_model(folder, device="cpu")


@pytest.mark.parametrize("mark", [BEGIN, END])
def test_a_template_without_marks_is_refused(mark, tmp_path):
    folder = FAMILIES["qwen3_vl"].save(tmp_path)
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(template.replace(mark, ""))
    with pytest.raises(ModelError, match="the chat template must write"):
        load_model(folder, device="cpu")


def test_sections_must_be_named(family, tmp_path):
    folder = shutil.copytree(family.folder, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    if family.name != "qwen3_vl":
        pytest.skip("transformers itself needs them")
    del config["text_config"]["rope_parameters"]["mrope_section"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="mrope_section"):
        load_model(folder, device="cpu")


def test_pictures_of_different_sizes_are_refused(family):
    frames = [*pictures(1), replace(pictures(1)[0], image=pictures(1, size=(16, 40))[0].image)]
    with pytest.raises(ValueError, match="one size"):
        visual_tokens(family.model, frames, start_seconds=0.0, num_patches_before=0)

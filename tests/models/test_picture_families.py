"""InternVL and SmolVLM: what they give the decoder is what plain transformers gives it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.checkpoints import random_frames, visual_tokens
from tests.families import FAMILIES, QUESTION, plain_model
from tests.image_checkpoints import save_internvl, save_smolvlm

from hermes_stream import load_model
from hermes_stream.models.chat import split_between_tokens
from hermes_stream.models.smolvlm import SmolVLM
from hermes_stream.video.frame import Frame

TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
KINDS = [
    ("internvl", "qwen2", "qwen2"),
    ("internvl", "gpt2", "llama"),
    ("smolvlm", "gpt2", "llama"),
    ("smolvlm", "qwen2", "qwen2"),
]


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def family(request, tmp_path_factory):
    name, split, text = request.param
    folder = tmp_path_factory.mktemp(name) / name
    FAMILIES[name].save(folder, split=split, text=text)
    return load_model(folder, device="cpu"), folder


def encode(model, frames, chunk_frames):
    start = frames[0].pts_seconds
    return [
        visual_tokens(model, frames[k : k + chunk_frames], start_seconds=start, num_patches_before=k)
        for k in range(0, len(frames), chunk_frames)
    ]


@torch.no_grad()
def logits_of(model, plain, chunks, question):
    """Run plain transformers' text model over prefix, chunks and question."""
    parts = [model.embed(model.chat.prefix_ids), *(chunk.embeddings for chunk in chunks)]
    parts += [model.video_end, model.embed(model.chat.question_ids(question))]
    decoder = plain.model.language_model if model.family == "internvl" else plain.model.text_model
    return plain.lm_head(decoder(inputs_embeds=torch.cat(parts)[None]).last_hidden_state[0])


@pytest.mark.parametrize("chunk_frames", [1, 5, 12])
def test_prefix_frames_and_question_are_the_official_sequence(family, chunk_frames):
    model, folder = family
    plain = plain_model(folder)
    frames = random_frames(12, fps=1.7, start=3.3)
    inputs = FAMILIES[model.family].inputs(folder, frames, QUESTION, fps=1.7)
    with torch.no_grad():
        expected = plain(**inputs).logits[0]
    logits = logits_of(model, plain, encode(model, frames, chunk_frames), QUESTION)
    assert len(logits) == inputs["input_ids"].shape[1]
    torch.testing.assert_close(logits, expected, **TOLERANCE)
    # The tolerance means something: another picture, and another time or number, exceed it by far.
    other = [*frames[:3], *random_frames(9, seed=1, fps=1.7, start=frames[3].pts_seconds)]
    drawn = logits_of(model, plain, encode(model, other, chunk_frames), QUESTION)
    assert (drawn[-1] - expected[-1]).abs().max() > 100 * TOLERANCE["atol"]
    late = [visual_tokens(model, frames, start_seconds=-600.0, num_patches_before=7)]
    said = logits_of(model, plain, late, QUESTION)
    assert (said[-1] - expected[-1]).abs().max() > 100 * TOLERANCE["atol"]


def test_no_token_spans_prefix_and_first_frame(family):
    model, _ = family
    prefix = model.chat.before_video
    if (model.family, model.decoder.config.model_type) == ("smolvlm", "qwen2"):
        assert prefix.endswith("a video")  # this tokenizer makes one token of a full stop and two line breaks
    else:
        assert prefix.endswith("a video.\n" if model.family == "smolvlm" else "user\n")


def test_text_comes_before_the_visual_tokens_of_its_frame_and_positions_count(family):
    model, _ = family
    frames = random_frames(14, start=50.0)
    visual = visual_tokens(model, frames, start_seconds=0.0, num_patches_before=0)
    assert visual.num_temporal_patches == 14
    assert visual.time is visual.deepstack is None
    assert visual.seconds.tolist() == [frame.pts_seconds for frame in frames]
    assert torch.equal(visual.offsets, torch.arange(len(visual))[None])
    counts = torch.bincount(visual.temporal_patch_index)
    most = model.num_tokens(24, 24)
    assert most == model.card.tokens_per_temporal_patch
    assert counts.max() <= most < counts.max() + 10
    for frame in range(14):
        own = visual.is_text[visual.temporal_patch_index == frame]
        assert own.tolist() == sorted(own.tolist(), reverse=True)
        assert (~own).sum() == 9


def test_text_never_takes_more_tokens_than_the_card_says(family):
    model, _ = family
    frame = Frame(pts_seconds=3e8 + 59.0, image=random_frames(1)[0].image)
    visual = visual_tokens(model, [frame], start_seconds=0.0, num_patches_before=123_456_788)
    assert len(visual) <= model.card.tokens_per_temporal_patch


@pytest.mark.parametrize("size", [(24, 24), (36, 20), (20, 36), (7, 90)])
def test_pictures_of_any_size_take_equally_many_tokens(family, size):
    model, _ = family
    image = np.random.default_rng(0).integers(0, 256, size=(*size, 3), dtype=np.uint8)
    visual = visual_tokens(
        model, [Frame(pts_seconds=0.0, image=image)], start_seconds=0.0, num_patches_before=0
    )
    assert (~visual.is_text).sum() == 9
    assert len(visual) <= model.num_tokens(*size)


@pytest.mark.parametrize("save", [save_internvl, save_smolvlm])
def test_a_black_picture_is_no_padding(tmp_path, save):
    """Not even where black is 0 in the vision tower's eyes."""
    folder = save(tmp_path / "checkpoint")
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, "do_normalize": False}))
    model = load_model(folder, device="cpu")
    frames = random_frames(3)
    frames[1] = Frame(pts_seconds=1.0, image=np.zeros((24, 24, 3), dtype=np.uint8))
    visual = visual_tokens(model, frames, start_seconds=0.0, num_patches_before=0)
    assert (~visual.is_text).sum() == 27


def test_the_vision_tower_has_its_own_attention(family):
    model, _ = family
    assert model.vision.config._attn_implementation == "sdpa"
    assert model.decoder.config._attn_implementation == "hermes"


def test_times_are_minutes_and_seconds_and_do_not_fall_short(tmp_path):
    model = load_model(save_smolvlm(tmp_path / "smolvlm"), device="cpu")
    assert isinstance(model, SmolVLM)
    said = [
        model.chat.tokenizer.decode(model._text_tokens(3, at))
        for at in (0.1 + 0.7 + 0.2 - 1e-12, 61.9, 6000.0)
    ]
    assert [text.partition("from ")[2][:6].strip("<") for text in said] == ["00:01:", "01:01:", "100:00"]


def test_a_cut_never_splits_a_token():
    def pairs(text):
        return [ord(c) for c in text.replace("\n\n", "P")]

    assert split_between_tokens(pairs, "ab\n", "\ncd") == ("ab", "\n\ncd")
    assert split_between_tokens(pairs, "ab\n", "cd") == ("ab\n", "cd")
    assert split_between_tokens(lambda text: [len(text)], "ab", "cd") == ("", "abcd")

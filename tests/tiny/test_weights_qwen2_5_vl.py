"""The second shipped checkpoint is an ordinary folder and understands its world from the full cache."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)

from hermes_lab.training.batch_builder import BatchBuilder
from hermes_lab.training.decoder import Decoder
from hermes_lab.training.qwen2_5_vl import (
    Qwen25VLFamily,
    build_config,
    preprocessing_settings,
    to_pixel_patches,
    with_patch_attention,
)
from hermes_lab.training.stories import draw_worlds
from hermes_lab.training.vision import encode_samples, render_samples, to_pixels
from hermes_stream.synthetic.questions import QUESTION_KINDS
from hermes_stream.synthetic.world import Pace

FOLDER = Path(str(files("hermes_stream").joinpath("tiny/weights_qwen2_5_vl")))
QWEN = Qwen25VLFamily()
SECONDS, STREAMS = 32, 8


def test_the_folder_says_what_the_script_would_write_and_is_small():
    ours, theirs = build_config().to_dict(), Qwen2_5_VLConfig.from_pretrained(FOLDER).to_dict()
    for key in ("vision_config", "text_config"):
        ours[key].pop("dtype", None), theirs[key].pop("dtype", None)
    told = ("architectures", "dtype", "transformers_version", "_name_or_path")
    assert {k: v for k, v in ours.items() if k not in told} == {
        k: v for k, v in theirs.items() if k not in told
    }
    settings = json.loads((FOLDER / "preprocessor_config.json").read_text(encoding="utf-8"))
    assert settings == preprocessing_settings()
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    assert tokenizer.get_vocab() == QWEN.build_tokenizer().get_vocab()
    assert tokenizer.chat_template == QWEN.build_tokenizer().chat_template
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 8_000_000


def test_images_are_prepared_as_transformers_prepares_them():
    image = np.random.default_rng(0).integers(0, 256, (144, 144, 3), dtype=np.uint8)
    theirs = Qwen2VLImageProcessorPil.from_pretrained(FOLDER)(images=[image], return_tensors="pt")
    assert theirs["image_grid_thw"].tolist() == [[1, 6, 6]]
    ours = to_pixel_patches(to_pixels([image])[:, None].expand(-1, 2, -1, -1, -1))
    assert (ours - theirs["pixel_values"]).abs().max() < 0.01


@pytest.fixture(scope="module")
def right():
    """Ask about unseen stories, and say for every kind which questions were answered right."""
    model = with_patch_attention(Qwen2_5_VLForConditionalGeneration.from_pretrained(FOLDER).eval())
    worlds, chat = draw_worlds(STREAMS, SECONDS, Pace(), seed=5200), QWEN.build_chat()
    samples = render_samples(QWEN, worlds, SECONDS)
    features = encode_samples(QWEN, model, samples, noise=0.0, seed=0)
    builder = BatchBuilder(
        family=QWEN,
        chat=chat,
        worlds=worlds,
        num_streams=STREAMS,
        num_seconds=SECONDS,
        num_questions=30,
        max_gap=4,
    )
    decoder = Decoder(model, chat.prefix_ids, QWEN.video_end(model))
    prefix, right = len(chat.prefix_ids), {kind: [] for kind in QUESTION_KINDS}
    for seed in range(2):
        batch = builder.draw(np.random.default_rng(seed))
        video = features[batch.stories[:, None], batch.patches]
        with torch.no_grad():
            logits, _ = decoder(video, batch, QWEN.position_ids(batch, prefix))
        hits = batch.right_answers(logits.argmax(-1))
        for kind, hit in zip(batch.kinds, hits.flatten().tolist(), strict=True):
            if kind:
                right[kind].append(hit)
    return right


@pytest.mark.parametrize("kind", QUESTION_KINDS)
def test_with_the_full_cache_it_knows_every_kind(right, kind):
    assert np.mean(right[kind]) >= 0.8


def test_with_the_full_cache_it_knows_nearly_everything(right):
    assert np.mean([np.mean(hits) for hits in right.values()]) >= 0.93

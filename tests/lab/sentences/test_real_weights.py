"""What must hold on any weights holds on SmolLM2-135M's: through pictures, and through sentences.

Skipped until ``make real-weights`` has built the checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.contracts.test_models import (  # noqa: F401 - these are run on the weights of this module's fixture
    test_a_question_leaves_the_memory_bit_for_bit,
    test_chunks_packed_in_one_forward_equal_chunks_alone,
    test_full_cache_equals_plain_transformers,
    test_guidance_attention_equals_eager_attention,
    test_half_precision_stays_near_plain_transformers,
    test_reindexing_equals_recomputing_at_the_new_positions,
    test_streams_packed_in_one_forward_equal_streams_alone,
)
from tests.families import Family, plain_model, rendered

from hermes_lab.sentences.checkpoint import FOLDER, TOKENS_PER_FRAME, VIDEO_TOKEN
from hermes_lab.sentences.identities import (
    compress_often,
    difference,
    packed_equals_alone,
    said,
    said_plainly,
    told,
)
from hermes_lab.sentences.reader import SentenceReader
from hermes_lab.sentences.stories import PEOPLE, ROOMS, VEHICLES, tell_story
from hermes_lab.sentences.watching import first_tokens, watch_story
from hermes_stream import FullPolicy, WindowPolicy, load_model

CHECKPOINT = Path(__file__).parents[3] / FOLDER
TOLERANCE = 1e-4
STORY = tell_story(1, 24)
TEXTS = [one.text for one in STORY.questions[-4:]]

pytestmark = pytest.mark.skipif(
    not (CHECKPOINT / "config.json").exists(), reason="the weights are not there; run make real-weights"
)


def inputs(folder: Path, frames: list[Any], question: str, *, fps: float = 1.0) -> dict[str, Any]:
    """Return what plain transformers is fed: a token for each cell of each picture, and the video's end."""
    tokenizer, text = rendered(folder, question)
    text = text.replace(VIDEO_TOKEN, VIDEO_TOKEN * (len(frames) * TOKENS_PER_FRAME + 1))
    pixels = np.stack([frame.image for frame in frames]).astype(np.float32) / 127.5 - 1
    return {
        "input_ids": torch.tensor([tokenizer(text, add_special_tokens=False).input_ids]),
        "pixel_values_videos": torch.from_numpy(pixels).permute(0, 3, 1, 2)[None],
    }


@pytest.fixture(scope="module")
def family() -> Any:
    """The checkpoint, as the contracts of every family take one."""
    own = Family(
        save=lambda folder, **_: folder,
        inputs=inputs,
        sizes=((24, 24),),
        rates=False,
        frames_per_temporal_patch=1,
        tolerance=TOLERANCE,
        half_tolerances={"bfloat16": 0.6, "float16": 0.1},
    )
    return SimpleNamespace(
        name="smollm2",
        folder=CHECKPOINT,
        model=load_model(CHECKPOINT, device="cpu"),
        plain=plain_model(CHECKPOINT),
        **vars(own),
    )


@pytest.fixture(scope="module")
def reader(family) -> SentenceReader:
    return SentenceReader(family.model)


@pytest.fixture(scope="module")
def plain(family) -> list[torch.Tensor]:
    """What plain transformers says behind the story."""
    return said_plainly(family.plain, SentenceReader(family.model), STORY.sentences, TEXTS)


@pytest.mark.parametrize("chunk_frames", [1, 7, 24])
def test_sentences_in_chunks_equal_plain_transformers(reader, plain, chunk_frames):
    ours = said(told(reader, STORY.sentences, chunk_frames=chunk_frames), TEXTS)
    assert difference(ours, plain).largest < TOLERANCE
    other = said(told(reader, [*STORY.sentences[:-1], "Rain falls."], chunk_frames=chunk_frames), TEXTS)
    assert difference(other, plain).largest > 500 * TOLERANCE


def test_stories_packed_equal_stories_alone(reader):
    found = packed_equals_alone(reader, [tell_story(seed, seed * 5) for seed in (1, 2, 3)])
    assert found.largest < TOLERANCE


def test_a_memory_often_compressed_equals_a_recomputation(reader, family):
    found = compress_often(reader, family.plain, 40, max_positions=512)
    assert (found.num_compressions, found.num_kept_changed) == (40, 0)
    assert found.num_reindexed >= 1
    assert found.num_visual_tokens[0] < found.num_visual_tokens[1]
    assert found.recomputed.largest < TOLERANCE
    assert found.shifted.largest > 500 * TOLERANCE


def test_eight_bits_cost_little_where_channels_have_outliers(reader, plain):
    found = difference(said(told(reader, STORY.sentences, kv_bits=8), TEXTS), plain)
    assert TOLERANCE < found.largest < 0.6
    assert found.divergence < 5e-3


def test_sentences_in_bfloat16_stay_as_near_as_plain_transformers(family, plain):
    half = SentenceReader(load_model(CHECKPOINT, device="cpu", dtype="bfloat16"))
    ours = difference(said(told(half, STORY.sentences), TEXTS), plain)
    theirs = plain_model(CHECKPOINT, dtype=torch.bfloat16)
    own = difference(said_plainly(theirs, half, STORY.sentences, TEXTS), plain)
    assert ours.divergence < 2 * own.divergence + 1e-3


@pytest.mark.parametrize("words", [ROOMS, PEOPLE, VEHICLES], ids=["rooms", "people", "vehicles"])
def test_the_first_token_decides_among_options(reader, words):
    assert len(first_tokens(reader, words)) == len(words)


def test_the_model_knows_what_it_was_just_shown(reader):
    replies, bounded = watch_story(
        reader, [FullPolicy(), WindowPolicy(budget_tokens=64)], STORY, chunk_frames=4
    )
    assert [one.question for one in bounded] == list(STORY.questions)
    assert all(one.is_right for one in replies if one.question.kind == "now")
    past = [one.is_right for one in replies if one.question.kind == "where"]
    assert np.mean(past) > 0.5

"""A short trial of a model that was just loaded: a small picture, a few words, finite logits.

Weights and settings that fit each other may still compute nothing: one NaN makes every answer nonsense.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.attention import forward
from hermes_stream.cache import StreamCache
from hermes_stream.errors import ModelError
from hermes_stream.models.base import VideoModel
from hermes_stream.models.patches import PatchPreprocessing
from hermes_stream.models.visual import Pixels
from hermes_stream.segments import Segment
from hermes_stream.video.frame import Frame

_WORDS = "What came before the red circle? \N{GRINNING FACE} 1, 2."
_MAX_TOKENS = 16
_MAX_WEIGHT = 1e6  # float16 ends at 65,504
_ADVICE = "download or copy the checkpoint again"


def check_finite_weights(model: torch.nn.Module, name: str) -> None:
    """Refuse weights that are no numbers, or far larger than any that training makes.

    Args:
        model: transformers' model; quantised weights in it are left out.
        name: of the model, for the message.

    Raises:
        ModelError: a weight is NaN, infinite or huge; names the first.
    """
    weights = [(key, it) for key, it in model.named_parameters() if it.numel() and not it.is_meta]
    names = [key for key, weight in weights if _is_plain(weight)]
    extremes = [torch.stack(torch.aminmax(weight.detach())) for _, weight in weights if _is_plain(weight)]
    # Written so that NaN is broken too.
    broken = [key for key, it in zip(names, extremes, strict=True) if not (it.abs() <= _MAX_WEIGHT).all()]
    if broken:
        raise ModelError(
            f"the weights of model {name!r} are broken: {len(broken)} tensors hold NaN, infinite numbers or "
            f"numbers beyond {_MAX_WEIGHT:g}, the first is {broken[0]}; {_ADVICE}"
        )


def _is_plain(weight: Tensor) -> bool:
    return type(weight.data) is Tensor and weight.dtype in (torch.float32, torch.float16, torch.bfloat16)


def check_tokens(model: VideoModel) -> None:
    """Refuse a tokenizer whose tokens the model does not know, and a checkpoint that never ends an answer.

    Raises:
        ModelError: a token's number is beyond the embeddings, or no token ends an answer.
    """
    name, chat = model.card.name, model.chat
    embeddings: Any = model.decoder.embed_tokens
    num_rows = len(embeddings.weight)
    _check_ids(name, "its tokenizer knows", chat.tokenizer.get_vocab().values(), num_rows)
    _check_ids(name, "an answer ends with", chat.stop_token_ids, num_rows)
    if not chat.stop_token_ids:
        raise ModelError(
            f"model {name!r} names no token that ends an answer; give eos_token_id in its "
            f"generation_config.json, config.json or tokenizer_config.json"
        )


def _check_ids(name: str, who: str, token_ids: Iterable[int], num_rows: int) -> None:
    largest = max(token_ids, default=0)
    if largest >= num_rows:
        raise ModelError(
            f"the tokenizer of model {name!r} does not fit its weights: {who} token {largest}, and the "
            f"embeddings have {num_rows} rows; take both from the same checkpoint"
        )


@torch.no_grad()
def check_logits(model: VideoModel) -> None:
    """Let a model see a small picture and read a few words, and refuse it if the result is not finite.

    Raises:
        ModelError: features or logits are NaN or infinite.
    """
    card, chat = model.card, model.chat
    # Not a whole picture of a family with dynamic resolution: its fewest pixels may take seconds on a CPU.
    frames = [
        Frame(pts_seconds=float(number), image=np.full((64, 64, 3), 40 * (number + 1), np.uint8))
        for number in range(card.frames_per_temporal_patch)
    ]
    features = model.encode(_small(model, frames))
    if not features.tokens.isfinite().all():
        raise ModelError(f"model {card.name!r} makes of a picture what is no number; {_ADVICE}")
    visual = model.lay_out(features, frames, start_seconds=0.0, num_patches_before=0)
    wanted = torch.arange(len(visual)) >= len(visual) - _MAX_TOKENS
    visual = visual.select(wanted)
    ids = [*chat.prefix_ids[-_MAX_TOKENS:], *chat.question_ids(_WORDS)[:_MAX_TOKENS]]
    text = torch.cat([model.video_end, model.embed(ids)])
    cache = StreamCache(
        model.layout, (len(visual) + len(text),) * model.layout.num_layers, num_prefix_tokens=0
    )
    _run(model, cache, visual.embeddings, visual.deepstack)
    logits = model.logits(_run(model, cache, text)[-1])
    if not logits.isfinite().all():
        broken = int((~logits.isfinite()).sum())
        raise ModelError(
            f"model {card.name!r} computes no numbers: {broken:,} of {len(logits):,} logits of a short text "
            f"are NaN or infinite; {_ADVICE}, or take another dtype"
        )


def _small(model: VideoModel, frames: Sequence[Frame]) -> Pixels:
    preprocessing = model.preprocessing
    if not isinstance(preprocessing, PatchPreprocessing):
        return model.prepare(frames)
    side = 2 * preprocessing.patch_size * preprocessing.merge_size
    preprocessing = replace(
        preprocessing, min_pixels=1, max_pixels=preprocessing.num_bounded_frames * side**2
    )
    images = [frame.image for frame in frames]
    return preprocessing.pixels(images, device=model.vision.device, dtype=model.vision.dtype)


def _run(
    model: VideoModel,
    cache: StreamCache,
    embeddings: Float[Tensor, "tokens hidden"],
    deepstack: Float[Tensor, "levels tokens hidden"] | None = None,
) -> Float[Tensor, "tokens hidden"]:
    first = cache.next_position
    positions = torch.arange(first, first + len(embeddings)).repeat(model.layout.rotary.num_axes, 1)
    cache.append(positions)
    segment = Segment(cache=cache, embeddings=embeddings, positions=positions, deepstack=deepstack)
    return forward(model.decoder, [segment])[0]

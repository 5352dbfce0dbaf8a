"""Which model a memory belongs to: its name, and hashes of its config and of its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_SAMPLE = 16
_NOT_OF_WEIGHTS = {"transformers_version", "dtype", "torch_dtype", "_name_or_path", "name_or_path"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """What tells models apart whose memories are of no use to each other.

    Attributes:
        name: what the model was loaded by; says nothing, the same may lie elsewhere.
        revision: commit on the hub; None for a folder, says nothing either.
        config_sha256: of the configs of vision tower and decoder, and of how frames and text before them are
            laid out.
        weights_sha256: of names, shapes and dtypes of all weights, and of some numbers of each.
    """

    name: str
    revision: str | None
    config_sha256: str
    weights_sha256: str

    def is_same_as(self, other: ModelIdentity) -> bool:
        """Tell whether memories of one can be gone on with by the other."""
        return (self.config_sha256, self.weights_sha256) == (other.config_sha256, other.weights_sha256)


def identify(model: Any) -> ModelIdentity:
    """Return a loaded model's identity.

    Args:
        model: a ``VideoModel``.
    """
    card, layout = model.card, model.layout
    settings = {
        "vision": _settings(model.vision.config),
        "decoder": _settings(model.decoder.config),
        "prefix_ids": list(model.chat.prefix_ids),
        "tokens_per_temporal_patch": card.tokens_per_temporal_patch,
        "frames_per_temporal_patch": card.frames_per_temporal_patch,
        "dtype": str(layout.dtype),
    }
    text = json.dumps(settings, sort_keys=True, default=str)
    digest = hashlib.sha256()
    for part in ("vision", "decoder", "head"):
        for said in _said_of_weights(part, getattr(model, part)):
            digest.update(said)
    return ModelIdentity(
        name=card.name,
        revision=card.revision,
        config_sha256=hashlib.sha256(text.encode()).hexdigest(),
        weights_sha256=digest.hexdigest(),
    )


def _settings(config: Any) -> dict[str, Any]:
    """Return what a config says that its class does not say anyway, so that newer classes may say more."""
    settings: dict[str, Any] = config.to_diff_dict()
    return {name: value for name, value in settings.items() if name not in _NOT_OF_WEIGHTS}


def _said_of_weights(part: str, module: nn.Module) -> Iterator[bytes]:
    for name, parameter in module.named_parameters():
        weight = parameter.detach()
        # zeros that a device's products want are none of the model's (``loading.towers``)
        if (shape := getattr(parameter, "shape_without_filling", None)) is not None:
            weight = weight[tuple(map(slice, shape))]
        yield f"{part}.{name} {tuple(weight.shape)} {weight.dtype}".encode()
        yield _sampled(weight)


def _sampled(weight: Tensor) -> bytes:
    """Return some numbers of a weight: training changes them all, and reading all takes seconds."""
    # what is quantised or lies elsewhere until it is run has no numbers to look at
    if type(weight) not in (Tensor, nn.Parameter) or weight.is_meta or not weight.numel():
        return b""
    flat = weight.flatten()
    return (
        flat[:: max(1, len(flat) // _SAMPLE)][:_SAMPLE].contiguous().cpu().view(torch.uint8).numpy().tobytes()
    )

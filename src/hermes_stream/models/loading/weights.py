"""A model's weights, read from a folder onto their devices, and checked against its config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from hermes_stream.attention import ATTENTION_NAME, register
from hermes_stream.errors import DeviceError, ModelError
from hermes_stream.models.loading.deepstack import fuse_deepstack
from hermes_stream.models.loading.messages import refusing
from hermes_stream.models.loading.norms import fuse_norms
from hermes_stream.models.loading.placement import Placement
from hermes_stream.models.loading.pooling import fuse_pooling
from hermes_stream.models.loading.progress import OnProgress, report_reading
from hermes_stream.models.loading.projections import fuse_projections
from hermes_stream.models.loading.quantisation import int8_config, quantisation
from hermes_stream.models.loading.towers import fill_gates, keep_patches_together
from hermes_stream.models.loading.trial import check_finite_weights

_MAX_SIZE_RATIO = 1.5  # below it transformers names the tensors that are missing
# What older versions of transformers stored, heads that embeddings stand in for, and SigLIP's unused pooling.
_SPARE_TENSORS = re.compile(
    r"(^|\.)(rotary_emb\.inv_freq|rotary_pos_emb\.inv_freq|position_ids)$|^lm_head\.weight$|vision_model\.head\."
)


def read_weights(
    folder: Path,
    name: str,
    config: Any,
    *,
    placement: Placement,
    dtype: torch.dtype,
    on_progress: OnProgress | None,
) -> Any:
    """Return transformers' model, its weights read, with the ``hermes`` attention in its decoder.

    Args:
        folder: holds safetensors weights.
        name: of the model, for messages.
        config: transformers' config of the whole model.
        placement: where weights go; quantised ones are placed while they are read.
        dtype: of weights that are not quantised.
        on_progress: called with the tensors that were read.

    Raises:
        ModelError: weights are missing or broken.
        DeviceError: the devices of a map cannot hold them.
    """
    int8 = int8_config(placement)
    is_quantised = int8 is not None or quantisation(config) is not None
    device_map: Any = placement.device_map
    if is_quantised and device_map is None and placement.device.type != "cpu":
        device_map = {"": placement.device}
    what = f"load the weights of model {name!r}"
    advice = "its folder must hold safetensors weights that fit its config.json"
    with refusing(what, advice), report_reading(on_progress):
        model, loading = AutoModelForImageTextToText.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            device_map=device_map,
            quantization_config=int8,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    _check_complete(name, loading, is_quantised=is_quantised)
    _check_offload(name, getattr(model, "hf_device_map", {}))
    if device_map is None and not is_quantised:
        model = model.to(placement.device)
    check_finite_weights(model, name)
    return attach_memory(model)


def attach_memory(model: Any) -> Any:
    """Set a model to evaluation, its decoder attending to streams' caches; fuse what can be; return it."""
    register()
    model.set_attn_implementation({"text_config": ATTENTION_NAME, "vision_config": "sdpa"})
    fuse_norms(model)
    fuse_projections(model.get_decoder())
    fuse_deepstack(model.get_decoder())
    fuse_pooling(model.model)
    keep_patches_together(model.model)
    fill_gates(model)
    return model.eval().requires_grad_(False)


def build_empty(name: str, config: Any) -> Any:
    """Return the architecture of a model without its numbers.

    Raises:
        ModelError: it cannot be built.
    """
    what, advice = f"build model {name!r} as its config.json tells", "take the file from the checkpoint again"
    with refusing(what, advice), torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)


def check_size(name: str, config: Any, num_stored: int) -> None:
    """Refuse weights that are far fewer than the config tells of; transformers would draw the rest at random.

    Args:
        name: of the model, for the message.
        config: transformers' config of the whole model, not quantised.
        num_stored: numbers in the weight files.

    Raises:
        ModelError: the architecture has many more, or cannot be built.
    """
    num_wanted = sum(weight.numel() for weight in build_empty(name, config).parameters())
    if num_wanted > _MAX_SIZE_RATIO * num_stored:
        raise ModelError(
            f"the weights of model {name!r} do not fit its config.json, which tells of {num_wanted:,} "
            f"parameters: its files hold {num_stored:,}; take both from the same checkpoint"
        )


def _check_complete(name: str, loading: Mapping[str, Any], *, is_quantised: bool) -> None:
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ModelError(
            f"the weights of model {name!r} are incomplete: {len(missing)} tensors are missing, the first "
            f"is {missing[0]}; download or copy the checkpoint again"
        )
    mismatched = sorted(loading["mismatched_keys"])
    if mismatched:
        tensor, stored, wanted = mismatched[0]
        raise ModelError(
            f"the weights of model {name!r} do not fit its config.json: {len(mismatched)} tensors have other "
            f"shapes, the first is {tensor} with {list(stored)} instead of {list(wanted)}; take both from "
            f"the same checkpoint"
        )
    # Quantisers store scales and tables beside weights, by names of their own.
    unexpected = sorted(loading["unexpected_keys"]) if not is_quantised else []
    unexpected = [tensor for tensor in unexpected if not _SPARE_TENSORS.search(tensor)]
    if unexpected:
        raise ModelError(
            f"the weights of model {name!r} do not fit its config.json: {len(unexpected)} tensors are not in "
            f"the architecture, the first is {unexpected[0]}; take both from the same checkpoint"
        )


def _check_offload(name: str, device_map: Mapping[str, Any]) -> None:
    """Refuse a map that puts some modules on the host or on disk: buffers live with their layers."""
    offloaded = sorted(module for module, device in device_map.items() if str(device) in ("cpu", "disk"))
    if offloaded and len({str(device) for device in device_map.values()}) > 1:
        raise DeviceError(
            f"the GPUs cannot hold model {name!r}: {len(offloaded)} modules would be offloaded, the first is "
            f"{offloaded[0]}; choose a smaller dtype, a quantised checkpoint, or more GPUs"
        )

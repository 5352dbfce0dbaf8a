"""Quantised weights: read or made as transformers does it, refused before that where something is missing."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import TorchAoConfig

from hermes_stream.errors import ModelError
from hermes_stream.models.loading.placement import Placement, is_installed

# What the quantisers of transformers import, by the names that pip knows; others name it in their own errors.
_PACKAGES = {
    "bitsandbytes": ("bitsandbytes", "accelerate"),
    "torchao": ("torchao",),
    "gptq": ("gptqmodel", "optimum"),
    "awq": ("gptqmodel", "accelerate"),
    "compressed-tensors": ("compressed-tensors",),
    "hqq": ("hqq",),
    "quanto": ("optimum-quanto", "accelerate"),
}


def quantisation(config: Any) -> str | None:
    """Return the method that a checkpoint's weights are quantised by; None if they are not.

    Args:
        config: transformers' config of the whole model.
    """
    settings = _settings(config)
    if not settings:
        return None
    method = settings.get("quant_method") if isinstance(settings, dict) else settings.quant_method
    return str(getattr(method, "value", method) or "bitsandbytes")


def check_quantisation(name: str, config: Any, weights: str = "auto") -> None:
    """Refuse quantised weights that cannot be read here.

    Raises:
        ModelError: transformers does not know the method, packages that it needs are not installed, or the
            weights are quantised already and "int8" is asked for.
    """
    method, settings = quantisation(config), _settings(config)
    if method is None:
        return
    quantised = f"model {name!r} has weights quantised by {method!r}"
    if weights != "auto":
        raise ModelError(
            f"{quantised} already, so that they cannot become {weights!r}; leave weights at 'auto', or take "
            "the checkpoint that is not quantised"
        )
    from transformers.quantizers import AutoHfQuantizer

    if isinstance(settings, dict) and not AutoHfQuantizer.supports_quant_method(
        {"quant_method": method} | settings
    ):
        raise ModelError(
            f"{quantised}, which this transformers does not know; take the checkpoint that is not quantised, "
            f"or one quantised by {', '.join(sorted(_PACKAGES))}"
        )
    missing = [package for package in _PACKAGES.get(method, ()) if not is_installed(package)]
    if missing:
        raise ModelError(
            f"{quantised}, which needs {' and '.join(missing)}; pip install {' '.join(missing)}, or take the "
            "checkpoint that is not quantised"
        )


def int8_config(placement: Placement) -> TorchAoConfig | None:
    """Return how transformers is to quantise weights while it reads them; None if it is not to.

    Weights of all linear layers but the head take 8 bits, with one scale for each output. What a layer is
    given is rounded to 8 bits too, with one scale for each token: chunks and other streams in a forward
    change a token by no more than a number that rounds to the next step. Embeddings, convolutions and norms
    stay as they are.
    """
    if placement.weights == "auto":
        return None
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig
    from torchao.utils import should_reduce_range

    reduced = should_reduce_range(placement.device)  # 7 bits where a processor's sums would overflow
    return TorchAoConfig(Int8DynamicActivationInt8WeightConfig(reduce_range=reduced))


def int8_bytes(model: Any, dtype: torch.dtype) -> int:
    """Return the bytes of a model whose weights are quantised while they are read.

    Args:
        model: transformers' model, with or without its numbers.
        dtype: of the weights that are not quantised.
    """
    head = model.get_output_embeddings()
    linear = {id(it.weight) for it in model.modules() if isinstance(it, nn.Linear) and it is not head}
    return sum(it.numel() * (1 if id(it) in linear else dtype.itemsize) for it in model.parameters())


def _settings(config: Any) -> Any:
    own = getattr(config, "quantization_config", None)
    return own or getattr(config.get_text_config(), "quantization_config", None)

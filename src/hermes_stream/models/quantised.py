"""Quantised checkpoints: read as transformers reads them, refused before that where something is missing."""

from __future__ import annotations

from typing import Any

from transformers.quantizers import AutoHfQuantizer

from hermes_stream.errors import ModelError
from hermes_stream.models.placement import is_installed

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
    """Return the method that a checkpoint's weights are quantised by; None where they are not.

    Args:
        config: transformers' config of the whole model.
    """
    settings = getattr(config, "quantization_config", None)
    settings = settings or getattr(config.get_text_config(), "quantization_config", None)
    if not settings:
        return None
    method = settings.get("quant_method") if isinstance(settings, dict) else settings.quant_method
    return str(getattr(method, "value", method) or "bitsandbytes")


def check_quantisation(name: str, config: Any) -> None:
    """Refuse quantised weights that cannot be read here.

    Raises:
        ModelError: transformers does not know the method, or packages that it needs are not installed.
    """
    method = quantisation(config)
    if method is None:
        return
    settings = getattr(config, "quantization_config", None) or config.get_text_config().quantization_config
    if isinstance(settings, dict) and not AutoHfQuantizer.supports_quant_method(
        {"quant_method": method} | settings
    ):
        raise ModelError(
            f"model {name!r} has weights quantised by {method!r}, which this transformers does not know; "
            f"take the checkpoint that is not quantised, or one quantised by {', '.join(sorted(_PACKAGES))}"
        )
    missing = [package for package in _PACKAGES.get(method, ()) if not is_installed(package)]
    if missing:
        raise ModelError(
            f"model {name!r} has weights quantised by {method!r}, which needs {' and '.join(missing)}; "
            f"pip install {' '.join(missing)}, or take the checkpoint that is not quantised"
        )

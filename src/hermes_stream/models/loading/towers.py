"""A vision tower whose patches lie one behind the other in memory, as its layers read them."""

from __future__ import annotations

from torch import Tensor, nn


def keep_patches_together(model: nn.Module) -> None:
    """Lay out what a tower makes of pictures patch by patch.

    A convolution leaves them channel by channel, every sum of the layers behind it keeps that order, and
    every norm copies what it reads. Numbers stay as they are.

    Args:
        model: transformers' model without its head, loaded by us and nobody else's.
    """
    for name, module in model.named_modules():
        if name.rpartition(".")[2] == "embeddings":
            module.register_forward_hook(_together)


def _together(_module: nn.Module, _args: object, output: object) -> object:
    return output.contiguous() if isinstance(output, Tensor) else output

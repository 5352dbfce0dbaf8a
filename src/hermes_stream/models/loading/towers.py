"""Vision towers laid out for a device: patch behind patch, and rows as wide as its products want them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from hermes_stream.attention_weights import ROW_OF, wants_full_rows


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


def fill_gates(model: nn.Module) -> None:
    """Widen gated layers by zeros where their width is no whole number of rows, on a GPU and in 16 bits.

    Qwen2.5-VL's tower has 3,420 channels there, four short of what a fast product takes: on an H200 its
    products were 37 of the 132 ms of a chunk of 16 pictures. Zeros go in and out: numbers stay as they are.

    Args:
        model: transformers' model, loaded by us and nobody else's.
    """
    for module in model.modules():
        parts: list[Any] = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
        if all(_is_plain(part) for part in parts):
            gate, up, down = parts
            missing = -gate.out_features % ROW_OF
            if missing and wants_full_rows(gate.weight):
                widen(gate, up, down, missing)


def widen(gate: Any, up: Any, down: Any, num_channels: int) -> None:
    """Put channels of zeros behind those of a gated layer.

    Args:
        gate: projection to the channels that an activation without an offset goes over.
        up: projection that it is multiplied by.
        down: projection of the product.
        num_channels: how many come in.
    """
    for one in (gate, up):
        one.weight = _widened(one.weight, 0, 0, 0, num_channels)
        if one.bias is not None:
            one.bias = _widened(one.bias, 0, num_channels)
        one.out_features += num_channels
    down.weight = _widened(down.weight, 0, num_channels)
    down.in_features += num_channels


def _widened(weight: Tensor, *zeros: int) -> nn.Parameter:
    wider: Any = nn.Parameter(F.pad(weight.detach(), zeros), requires_grad=False)
    wider.shape_without_filling = weight.shape
    return wider


def _is_plain(part: object) -> bool:
    # torchao keeps the module and puts a tensor of its own inside; accelerate keeps hooks
    return type(part) is nn.Linear and type(part.weight) is nn.Parameter and not hasattr(part, "_hf_hook")

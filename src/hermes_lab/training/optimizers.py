"""Muon for many small matrices: momentum whose update is made orthogonal, matrices of one shape at once.

``torch.optim.Muon`` takes one matrix at a time and works in bfloat16, which is slow on processors without
units for it. The step size follows its ``match_rms_adamw`` rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_NUM_ITERATIONS = 5
_RMS_OF_ADAMW = 0.2


def orthogonalize(matrices: Tensor) -> Tensor:
    """Bring the singular values of ``[n, rows, columns]`` close to 1, by a Newton-Schulz iteration."""
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = wide / wide.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_NUM_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide is matrices else x.mT


def warmup_stable_decay(step: int, num_steps: int, *, warmup_steps: int, decay_share: float) -> float:
    """Return the scale of the peak learning rate at a step, 0 to 1: warm up, hold, decay at the end."""
    return min(1.0, (step + 1) / warmup_steps, (num_steps - step) / (decay_share * num_steps))


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalized, with decoupled weight decay; for matrices alone."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, lr: float, weight_decay: float, momentum: float = 0.95
    ) -> None:
        groups: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in parameters:
            groups.setdefault(parameter.shape, []).append(parameter)
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__([{"params": same} for same in groups.values()], defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Update every matrix that has a gradient in its group; all of a group have, or none."""
        for group in self.param_groups:
            parameters = group["params"]
            if parameters[0].grad is None:
                continue
            gradients = torch.stack([p.grad for p in parameters])
            state = self.state[parameters[0]]
            momentum = state.setdefault("momentum", torch.zeros_like(gradients))
            momentum.lerp_(gradients, 1 - group["momentum"])
            update = orthogonalize(gradients.lerp(momentum, group["momentum"]))
            rate = group["lr"] * _RMS_OF_ADAMW * max(gradients.shape[1:]) ** 0.5
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(parameters, list(update.unbind()), alpha=-rate)


class Optimizers:
    """Muon for the matrices inside layers, AdamW for everything else, on one schedule.

    Args:
        modules: what learns; embeddings count as everything else.
        muon_lr: peak learning rate of Muon.
        adamw_lr: peak learning rate of AdamW.
        weight_decay: of both.
    """

    def __init__(
        self, modules: Sequence[nn.Module], *, muon_lr: float, adamw_lr: float, weight_decay: float
    ) -> None:
        inside = {
            parameter
            for module in modules
            for layers in module.modules()
            if isinstance(layers, nn.ModuleList)
            for parameter in layers.parameters()
            if parameter.ndim == 2
        }
        self.parameters = list(dict.fromkeys(p for module in modules for p in module.parameters()))
        others = [p for p in self.parameters if p not in inside]
        matrices = [p for p in self.parameters if p in inside]
        self._optimizers: list[torch.optim.Optimizer] = [
            Muon(matrices, lr=muon_lr, weight_decay=weight_decay),
            torch.optim.AdamW(others, lr=adamw_lr, betas=(0.9, 0.98), weight_decay=weight_decay),
        ]
        for group in self._groups:
            group["peak_lr"] = group["lr"]

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return [group for one in self._optimizers for group in one.param_groups]

    def step(self, loss: Tensor, *, scale: float) -> None:
        """Follow the gradient of a loss at a scale, 0 to 1, of the peak learning rates."""
        for group in self._groups:
            group["lr"] = group["peak_lr"] * scale
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for one in self._optimizers:
            one.step()
            one.zero_grad()

    def state_dict(self) -> list[dict[str, Any]]:
        """Return what ``load_state_dict`` takes."""
        return [one.state_dict() for one in self._optimizers]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on from a saved state."""
        for one, state in zip(self._optimizers, states, strict=True):
            one.load_state_dict(state)

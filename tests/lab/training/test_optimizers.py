"""Muon's update is orthogonal, and its state goes on where it stopped."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hermes_lab.training.optimizers import Muon, Optimizers, orthogonalize


@pytest.mark.parametrize("shape", [(16, 16), (8, 24), (24, 8)])
def test_singular_values_come_close_to_one_and_directions_stay(shape):
    torch.manual_seed(0)
    matrices = torch.randn(3, *shape)
    u, s, vt = torch.linalg.svd(orthogonalize(matrices), full_matrices=False)
    assert s.min() > 0.6
    assert s.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    assert ((u @ vt) - (left @ right)).abs().max() < 0.05


def test_matrices_of_one_shape_are_updated_each_by_its_own_gradient():
    torch.manual_seed(1)
    together = [nn.Parameter(torch.randn(6, 6)) for _ in range(2)]
    alone = [nn.Parameter(p.detach().clone()) for p in together]
    gradients = [torch.randn(6, 6) for _ in range(2)]
    optimizers = [Muon(together, lr=0.1, weight_decay=0.1)]
    optimizers += [Muon([p], lr=0.1, weight_decay=0.1) for p in alone]
    for p, q, gradient in zip(together, alone, gradients, strict=True):
        p.grad, q.grad = gradient.clone(), gradient.clone()
    for optimizer in optimizers:
        optimizer.step()
    for p, q in zip(together, alone, strict=True):
        assert torch.allclose(p, q, atol=1e-6)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.words = nn.Embedding(5, 4)
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])

    def forward(self, ids):
        hidden = self.words(ids)
        for layer in self.layers:
            hidden = layer(hidden).tanh()
        return (hidden @ self.words.weight.T).square().mean()


def optimizers_for(model):
    return Optimizers([model], muon_lr=0.02, adamw_lr=0.01, weight_decay=0.0)


def test_a_saved_state_goes_on_as_if_never_stopped():
    ids = torch.arange(5)
    whole, part = Small(), Small()
    one, other = optimizers_for(whole), optimizers_for(part)
    for step in range(6):
        one.step(whole(ids), scale=1 - step / 10)
        other.step(part(ids), scale=1 - step / 10)
        if step == 2:
            again = Small()
            again.load_state_dict(part.state_dict())
            state, part, other = other.state_dict(), again, optimizers_for(again)
            other.load_state_dict(state)
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), part.parameters(), strict=True))


def test_it_learns():
    model, ids = Small(), torch.arange(5)
    optimizers, before = optimizers_for(model), None
    for _ in range(50):
        loss = model(ids)
        before = before or loss.item()
        optimizers.step(loss, scale=1.0)
    assert loss.item() < before / 2

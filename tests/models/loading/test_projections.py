"""One product instead of three is the family's own to rounding; another attention is left alone."""

from __future__ import annotations

import pytest
import torch
from tests.families import FAMILIES
from torch import nn
from transformers import Qwen2Config, Qwen2Model

from hermes_stream import load_model
from hermes_stream.attention import ATTENTION_NAME, register
from hermes_stream.models.loading import projections
from hermes_stream.models.loading.projections import fuse_projections

SIZES = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "vocab_size": 16}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32}


def decoder_of(**options) -> Qwen2Model:
    torch.manual_seed(0)
    config = Qwen2Config(**SIZES, num_attention_heads=4, num_key_value_heads=2, **options)
    decoder = Qwen2Model(config).requires_grad_(False).eval()
    for layer in decoder.layers:
        for name in ("q_proj", "k_proj", "v_proj"):
            getattr(layer.self_attn, name).bias.uniform_(-1, 1)
    register()
    decoder.set_attn_implementation(ATTENTION_NAME)
    return decoder


def is_fused(decoder: nn.Module) -> bool:
    return any("forward" in vars(module) for module in decoder.modules())


def attended(decoder: Qwen2Model) -> torch.Tensor:
    """Run the last layer's attention alone, on tokens that are rotated."""
    attention = decoder.layers[1].self_attn
    text = projections._text(attention, decoder.embed_tokens.weight)
    text.cos.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    given = projections._given(decoder, decoder.layers[0].self_attn, decoder.embed_tokens(torch.arange(4)))
    output, _ = attention(**given | {"packed": text})
    return torch.cat((output.flatten(), text.block.flatten()))


@pytest.mark.parametrize("options", [{}, {"rope_parameters": YARN}])
def test_the_same_numbers_and_names(options):
    decoder = decoder_of(**options)
    names, expected = decoder.state_dict().keys(), attended(decoder)
    weights = {name: one.clone() for name, one in decoder.named_parameters()}
    fuse_projections(decoder)
    assert is_fused(decoder)
    torch.testing.assert_close(attended(decoder), expected, rtol=1e-5, atol=1e-6)
    assert decoder.state_dict().keys() == names
    for name, one in decoder.named_parameters():
        assert torch.equal(one, weights[name])


def test_weights_are_held_once():
    decoder = decoder_of()
    fuse_projections(decoder)
    attention = decoder.layers[0].self_attn
    joint = attention.joint_weight.untyped_storage().data_ptr()
    assert {getattr(attention, f"{kind}_proj").weight.untyped_storage().data_ptr() for kind in "qkv"} == {
        joint
    }


def test_other_forwards_are_the_familys_own():
    decoder, tokens = decoder_of(), torch.arange(6)[None]
    decoder.set_attn_implementation("sdpa")
    expected = decoder(tokens).last_hidden_state
    decoder.set_attn_implementation(ATTENTION_NAME)
    fuse_projections(decoder)
    decoder.set_attn_implementation("sdpa")
    assert torch.equal(decoder(tokens).last_hidden_state, expected)


class Doubled(nn.Linear):
    def forward(self, numbers):
        return 2 * super().forward(numbers)


def test_a_projection_of_another_kind_stays_itself():
    decoder = decoder_of()
    for layer in decoder.layers:
        own = layer.self_attn.k_proj
        layer.self_attn.k_proj = Doubled(own.in_features, own.out_features).requires_grad_(False)
    expected = attended(decoder)
    fuse_projections(decoder)
    assert is_fused(decoder)  # the rotation by nothing is saved all the same
    torch.testing.assert_close(attended(decoder), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change", ["gate", "width"])
def test_another_attention_stays(change, monkeypatch):
    decoder = decoder_of()
    attention = type(decoder.layers[0].self_attn)
    plain = attention.forward
    if change == "gate":
        monkeypatch.setattr(attention, "forward", lambda *a, **o: (plain(*a, **o)[0].sigmoid(), None))
    else:  # queries of twice the width, half of which are a gate
        for layer in decoder.layers:
            layer.self_attn.q_proj = nn.Linear(32, 64).requires_grad_(False)
    fuse_projections(decoder)
    assert not is_fused(decoder)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_family_is_fused(name, tmp_path):
    FAMILIES[name].save(tmp_path)
    decoder = load_model(tmp_path, device="cpu").decoder
    assert all(hasattr(layer.self_attn, "joint_weight") for layer in decoder.layers)
    assert is_fused(decoder)

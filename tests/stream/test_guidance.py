"""Guidance prompts in a true forward, and as the released code reads them."""

from __future__ import annotations

from dataclasses import replace

import torch
from tests.checkpoints import TOKENS_PER_TEMPORAL_PATCH, random_frames

from hermes_stream import HermesPolicy, Session
from hermes_stream.policies import Guidance
from hermes_stream.stream.guidance import read_guidance

GUIDANCE = Guidance(prompts=("what is on screen now?",), prompt_of_layer=(0,) * 10)


def test_embeddings_are_read_alike_by_every_layer_and_the_model_is_left_as_it_was(model):
    session = Session(model, HermesPolicy(budget_tokens=10 * TOKENS_PER_TEMPORAL_PATCH), text_tokens=64)
    session.observe(random_frames(6))
    session.flush()
    true, bare, again = (
        session._executor.run(read_guidance(model, session.cache, guidance, 64))
        for guidance in (GUIDANCE, replace(GUIDANCE, advances=False), GUIDANCE)
    )
    assert torch.equal(true, again)
    assert torch.equal(true[0], bare[0])
    assert not torch.isclose(true[1:], bare[1:]).all(dim=1).any()
    assert not any(layer._forward_pre_hooks for layer in model.decoder.layers)


def test_a_policy_brings_its_own_prompts(model):
    prompts = model.card.guidance_prompts
    own = HermesPolicy(prompts=("near?", "far?"))
    assert own.guidance(10, prompts, None).prompts == ("near?; far?", "far?")
    assert "last." in own.guidance(10, prompts, "last").prompts[1]
    assert own.guidance(10, prompts, None).advances
    assert not HermesPolicy(guidance_forward="embeddings").guidance(10, prompts, None).advances

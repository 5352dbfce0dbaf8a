"""Guidance prompts in a true forward, and as the released code reads them."""

from __future__ import annotations

from dataclasses import replace

import torch
from tests.checkpoints import TOKENS_PER_TEMPORAL_PATCH, random_frames
from tests.families import pictures

from hermes_stream import HermesPolicy, Session, load_model
from hermes_stream.attention import forward
from hermes_stream.policies import Guidance
from hermes_stream.stream.guidance import guidance_segments, read_guidance

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


@torch.inference_mode()
def test_prompts_that_do_not_advance_run_attention_alone_and_weigh_as_in_whole_layers(model):
    session = Session(model, HermesPolicy(budget_tokens=10 * TOKENS_PER_TEMPORAL_PATCH), text_tokens=64)
    session.observe(random_frames(6))
    session.flush()
    first: list[torch.Tensor] = []
    ran: list[object] = []

    def give_first(_, args, kwargs):
        first.append(args[0])
        return (first[0], *args[1:]), kwargs

    layers = model.decoder.layers
    hooks = [layer.register_forward_pre_hook(give_first, with_kwargs=True) for layer in layers]
    segments, whole = guidance_segments(model, session.cache, GUIDANCE, 64)
    forward(model.decoder, segments)
    hooks += [layer.mlp.register_forward_hook(lambda *_: ran.append(1)) for layer in layers]
    for hook in hooks[: len(layers)]:
        hook.remove()
    still = session._executor.run(read_guidance(model, session.cache, replace(GUIDANCE, advances=False), 64))
    for hook in hooks:
        hook.remove()
    assert torch.equal(still, whole)
    assert not ran


def test_a_prompt_that_is_too_long_is_cut_at_its_end(model):
    session = Session(model, HermesPolicy(budget_tokens=40), text_tokens=64)
    (whole,), _ = guidance_segments(model, session.cache, GUIDANCE, 64)
    (cut,), _ = guidance_segments(model, session.cache, GUIDANCE, 3)
    assert torch.equal(cut.embeddings, whole.embeddings[:3])
    assert torch.equal(cut.positions, whole.positions[:, :3])


def test_a_prompt_stands_behind_all_that_any_axis_has():
    model = load_model("tiny-qwen", device="cpu")
    session = Session(model, HermesPolicy(budget_tokens=400), chunk_frames=2)
    session.observe(pictures(2, size=(96, 96)))
    cache = session.cache
    assert cache.next_position > cache.next_frame_position
    guidance = replace(GUIDANCE, prompt_of_layer=(0,) * model.layout.num_layers)
    (segment,), _ = guidance_segments(model, cache, guidance, 64)
    assert segment.positions[:, 0].tolist() == [cache.next_position] * 3


def test_prompts_that_do_not_advance_run_whole_layers_where_these_lie_apart(model, monkeypatch):
    session = Session(model, HermesPolicy(budget_tokens=10 * TOKENS_PER_TEMPORAL_PATCH), text_tokens=64)
    session.observe(random_frames(6))
    session.flush()
    bare, cache, ran = replace(GUIDANCE, advances=False), session.cache, []
    together = session._executor.run(read_guidance(model, cache, bare, 64))
    layers = model.decoder.layers
    apart = (torch.device("cpu"),) * len(layers)
    monkeypatch.setattr(cache, "layout", replace(cache.layout, layer_devices=apart))
    hooks = [layer.mlp.register_forward_hook(lambda *_: ran.append(1)) for layer in layers]
    found = session._executor.run(read_guidance(model, cache, bare, 64))
    for hook in hooks:
        hook.remove()
    assert torch.equal(found, together)
    assert len(ran) == len(layers)

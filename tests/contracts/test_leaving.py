"""A prompt leaves a forward behind the last layer that listens to it, and nothing else notices."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.families import FAMILIES, pictures

from hermes_stream import Engine, HermesPolicy, Session, load_model
from hermes_stream.packed import Packed
from hermes_stream.stream.guidance import prompt_ids

CHUNK = 4
POLICY = HermesPolicy.best(60)


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tmp_path_factory) -> Any:
    return load_model(
        FAMILIES[request.param].save(tmp_path_factory.mktemp("own") / "checkpoint"), device="cpu"
    )


def watch(model, seeds, streams_per_block=None, policy=POLICY) -> list[Any]:
    """Show streams of one engine the same number of chunks; return their caches."""
    options = {} if streams_per_block is None else {"streams_per_block": streams_per_block}
    engine = Engine(model, **options)
    handles = [engine.add(policy, chunk_frames=CHUNK) for _ in seeds]
    for start in range(0, 5 * CHUNK, CHUNK):
        for handle, seed in zip(handles, seeds, strict=True):
            handle.observe(pictures(CHUNK, seed=seed, start=start))
        engine.run()
    return [handle.stream.memory.cache for handle in handles]


def tokens_by_layer(model, work) -> list[list[int]]:
    """Return how many tokens came to each layer in each forward."""
    seen: list[list[int]] = []

    def note(index):
        def hook(_module, args, _output) -> None:
            if index == 0:
                seen.append([])
            seen[-1].append(args[0].shape[1])

        return hook

    layers = model.decoder.layers
    hooks = [layer.input_layernorm.register_forward_hook(note(k)) for k, layer in enumerate(layers)]
    try:
        work()
    finally:
        for hook in hooks:
            hook.remove()
    return seen


@pytest.mark.parametrize("streams_per_block", [None, 4])
@pytest.mark.parametrize("seeds", [(1,), (1, 2, 3)])
def test_the_memory_is_as_if_all_prompts_stayed(model, seeds, streams_per_block, monkeypatch):
    own = watch(model, seeds, streams_per_block)
    monkeypatch.setattr(Packed, "_with_leaving", lambda self, _: self)
    whole = watch(model, seeds, streams_per_block)
    for one, other in zip(own, whole, strict=True):
        assert one.num_compressions == other.num_compressions > 1
        assert torch.equal(one.state().token_ids, other.state().token_ids)
        for layer in range(model.layout.num_layers):
            torch.testing.assert_close(one.keys(layer), other.keys(layer), rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(one.values(layer), other.values(layer), rtol=1e-3, atol=1e-4)
    assert not any(layer._forward_pre_hooks for layer in model.decoder.layers)


def test_only_what_is_listened_to_comes_to_the_deep_layers(model):
    session = Session(model, POLICY, chunk_frames=CHUNK)
    shown = iter(pictures(4 * CHUNK))
    session.observe(next(shown) for _ in range(3 * CHUNK))
    session.flush()
    (counts,) = tokens_by_layer(model, lambda: session.observe(shown))
    num_layers = model.layout.num_layers
    guidance = POLICY.guidance(num_layers, model.card.guidance_prompts, None)
    both, deep = (len(prompt_ids(model, text)) for text in guidance.prompts)
    assert both > deep > 0
    first_without = num_layers - guidance.prompt_of_layer[::-1].index(0)
    assert counts == [counts[0]] * first_without + [counts[0] - both] * (num_layers - first_without)


def test_prompts_that_do_not_advance_stay(model):
    """Every layer is given their embeddings anew."""
    policy = HermesPolicy(budget_tokens=60, guidance_forward="embeddings")
    session = Session(model, policy, chunk_frames=CHUNK)
    session.observe(pictures(4 * CHUNK))
    assert session.stats.num_compressions > 0


def test_prompts_for_the_first_layer_stay_while_features_are_added_behind_it(model, monkeypatch):
    """The working memory is one layer, and a decoder may add features of pictures behind the next ones."""
    policy = HermesPolicy(budget_tokens=60, sensory_share=0.0, long_term_share=0.8, summarize=False)
    (own,) = watch(model, (1,), policy=policy)
    monkeypatch.setattr(Packed, "_with_leaving", lambda self, _: self)
    (whole,) = watch(model, (1,), policy=policy)
    assert own.num_compressions == whole.num_compressions > 1
    assert torch.equal(own.state().token_ids, whole.state().token_ids)

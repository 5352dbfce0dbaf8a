"""Guidance attention equals eager attention; streams packed in one forward equal streams alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.checkpoints import plain_inputs, plain_model, random_frames, visual_tokens

from hermes_stream import FullPolicy, HermesPolicy, Session, attention, attention_weights, load_model
from hermes_stream.attention import forward
from hermes_stream.attention_weights import Probe
from hermes_stream.cache import StreamCache
from hermes_stream.policies.livevlm import LiveVlmPolicy
from hermes_stream.segments import Segment
from hermes_stream.stream.positions import text_positions

PROMPTS = ("what is on screen now?", "what came first? how many things came so far?")


def watched(model, count, seed, policy=None, **options) -> Session:
    session = Session(model, policy or FullPolicy(), **options)
    session.observe(random_frames(count, seed=seed))
    session.flush()
    return session


def probes(model, cache: StreamCache, layers=frozenset(range(10))) -> list[Segment]:
    segments = []
    for text in PROMPTS:
        ids = model.chat.encode(text)
        segments.append(
            Segment(
                cache=cache,
                embeddings=model.embed(ids),
                positions=text_positions(1, len(ids), cache.next_position),
                probe=Probe(weights=torch.zeros(10, cache.num_tokens[0]), layers=layers),
            )
        )
    return segments


@torch.no_grad()
def test_guidance_attention_equals_eager_attention(model, checkpoint_folder):
    frames = random_frames(5)
    cache = watched(model, 5, 0).cache
    segments = probes(model, cache)
    forward(model.decoder, segments)
    plain = plain_model(checkpoint_folder, "eager")
    for segment, text in zip(segments, PROMPTS, strict=True):
        inputs = plain_inputs(model, frames, "x")
        held = cache.num_tokens[0]
        ids = torch.cat([inputs["input_ids"][0, :held], torch.tensor(model.chat.encode(text))])
        visual = visual_tokens(model, frames, start_seconds=0.0, num_patches_before=0).embeddings
        embeddings = model.embed(ids.tolist())
        embeddings[cache.num_prefix_tokens : held] = visual
        attentions = plain.model.language_model(
            inputs_embeds=embeddings[None], output_attentions=True
        ).attentions
        eager = torch.stack([layer[0, :, held:, :held].mean(dim=(0, 1)) for layer in attentions])
        torch.testing.assert_close(segment.probe.weights, eager, rtol=1e-4, atol=1e-6)
        assert 0 < float(eager.sum(dim=1).min()) < float(eager.sum(dim=1).max()) < 1


@torch.no_grad()
def test_a_probe_leaves_nothing_behind_and_reads_the_layers_it_was_told(model):
    cache = watched(model, 5, 0).cache
    before = [cache.keys(i).clone() for i in range(10)]
    mark = cache.mark()
    segments = probes(model, cache, layers=frozenset({3, 7}))
    forward(model.decoder, segments)
    assert cache.mark() == mark
    assert all(torch.equal(cache.keys(i), old) for i, old in enumerate(before))
    read = segments[0].probe.weights.sum(dim=1) > 0
    assert read.nonzero()[:, 0].tolist() == [3, 7]


@torch.no_grad()
def test_streams_packed_in_one_forward_equal_streams_alone(model):
    sessions = [
        watched(model, count, seed, HermesPolicy.paper(30), chunk_frames=3)
        for count, seed in ((7, 1), (2, 2), (12, 3))
    ]
    texts = ("what is on screen now?", "was there a red circle?", "what came first?")
    alone, segments = [], []
    for session, text in zip(sessions, texts, strict=True):
        cache = session.cache
        embeddings = model.embed(model.chat.encode(text))
        positions = text_positions(1, len(embeddings), cache.next_position)
        mark = cache.mark()
        cache.append(positions)
        segment = Segment(cache=cache, embeddings=embeddings, positions=positions)
        alone.append(forward(model.decoder, [segment])[0])
        cache.rewind(mark)
        cache.append(positions)
        segments.append(segment)
    read = watched(model, 4, 4).cache
    forward(model.decoder, [probe_alone := probes(model, read)[0]])
    probe = probes(model, read)[0]
    packed = forward(model.decoder, [segments[0], probe, *segments[1:]])
    del packed[1]
    for one, other in zip(alone, packed, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(probe.probe.weights, probe_alone.probe.weights, rtol=1e-4, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(
    "layers", [(frozenset({3, 7}), frozenset({1, 9})), (frozenset({8, 9}), frozenset({4}))]
)
@pytest.mark.parametrize("few_bytes", [0, 16_000, 2**22])
@pytest.mark.parametrize("fills_rows", [False, True])
def test_prompts_in_free_slots_behind_a_chunk_read_as_those_that_find_none(
    model, layers, few_bytes, fills_rows, monkeypatch
):
    """Prompts share the chunk's product, or one of their own, or some do; none sees another."""
    monkeypatch.setattr(attention_weights, "_FEW_WEIGHT_BYTES", few_bytes)
    found = []
    for num_spare in (0, 100):
        is_full = fills_rows and num_spare > 0
        monkeypatch.setattr(attention_weights, "wants_full_rows", lambda _, is_full=is_full: is_full)
        torch.manual_seed(0)
        count, held = 9, 20
        cache = StreamCache(model.layout, [held + count + num_spare] * 10, num_prefix_tokens=held)
        segments = []
        for num_tokens in (held, count):
            positions = text_positions(1, num_tokens, cache.next_position)
            cache.append(positions)
            embeddings = torch.randn(num_tokens, model.embed([0]).shape[1])
            segments = [Segment(cache=cache, embeddings=embeddings, positions=positions)]
            if num_tokens == held:
                forward(model.decoder, segments)
        prompts = probes(model, cache)
        segments += [
            replace(prompt, probe=replace(prompt.probe, layers=own))
            for prompt, own in zip(prompts, layers, strict=True)
        ]
        hidden = forward(model.decoder, segments)
        weights = [segment.probe.weights for segment in segments[1:]]
        assert all(float(own[sorted(read)].sum()) > 0 for own, read in zip(weights, layers, strict=True))
        found.append([hidden[0], *weights, cache.keys(9).clone()])
    for without, within in zip(*found, strict=True):
        torch.testing.assert_close(within, without, rtol=1e-4, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "shared"), [(torch.float32, True), (torch.bfloat16, False)])
def test_a_product_for_all_is_made_in_float32_alone(checkpoint_folder, monkeypatch, dtype, shared):
    """It rounds scores to what it is given, which a fused kernel does not."""
    made, weigh = [], attention.weigh_with_probes

    def weigh_and_note(*args, **options) -> torch.Tensor:
        made.append(1)
        return weigh(*args, **options)

    monkeypatch.setattr(attention, "weigh_with_probes", weigh_and_note)
    own = load_model(checkpoint_folder, device="cpu", dtype=dtype)
    watched(own, 6, 0, HermesPolicy(budget_tokens=20))
    assert bool(made) == shared


@torch.no_grad()
@pytest.mark.parametrize("few_bytes", [0, 16_000, 2**22])
def test_a_forward_that_nobody_reads_ends_where_the_last_keys_are_stored(model, few_bytes, monkeypatch):
    monkeypatch.setattr(attention_weights, "_FEW_WEIGHT_BYTES", few_bytes)
    decoder, ran = model.decoder, []
    hooks = [
        layer.mlp.register_forward_hook(lambda *_, k=k: ran.append(k))
        for k, layer in enumerate(decoder.layers)
    ]
    caches, weights = [], []
    for wants_hidden in (True, False):
        cache = watched(model, 5, 0).cache
        embeddings = model.embed(model.chat.encode(PROMPTS[0]))
        positions = text_positions(1, len(embeddings), cache.next_position)
        cache.append(positions)
        segment = Segment(cache=cache, embeddings=embeddings, positions=positions)
        read = probes(model, cache)
        ran.clear()
        hidden = forward(decoder, [segment, *read], wants_hidden=wants_hidden)
        assert len(hidden) == (3 if wants_hidden else 0)
        assert ran == list(range(10 if wants_hidden else 9))
        caches.append(cache)
        weights.append(torch.stack([one.probe.weights for one in read]))
    for hook in hooks:
        hook.remove()
    assert torch.equal(*weights)
    for k in range(10):
        for held in ("keys", "rotated_keys", "values"):
            assert torch.equal(*(getattr(cache, held)(k) for cache in caches))


@torch.no_grad()
@pytest.mark.parametrize("policy", [HermesPolicy.paper(20), LiveVlmPolicy(budget_tokens=20)])
def test_zeros_behind_keys_weigh_nothing(model, policy, monkeypatch):
    """On a GPU rows of weights are filled up, for its products' sake."""
    logits = []
    for is_full in (False, True):
        monkeypatch.setattr(attention_weights, "wants_full_rows", lambda _, is_full=is_full: is_full)
        logits.append(watched(model, 11, 0, policy).next_token_logits("what is on screen now?"))
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-5)

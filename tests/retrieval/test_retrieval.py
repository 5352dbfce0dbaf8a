"""Archives: what is forgotten can be found again, as it was; a question reads what its queries choose."""

from __future__ import annotations

import math
from itertools import count
from types import SimpleNamespace

import pytest
import torch
from tests.checkpoints import PAST, TOKENS_PER_TEMPORAL_PATCH, plain_model, random_frames
from transformers import DynamicCache

from hermes_stream import FullPolicy, Session
from hermes_stream.memory.rope import rotate
from hermes_stream.policies import RekvPolicy, ResvPolicy
from hermes_stream.retrieval import archive as archives
from hermes_stream.retrieval import retriever as retrievers
from hermes_stream.retrieval.groups import hash_signs
from hermes_stream.retrieval.retriever import Retriever

QUESTION = "what came first?"
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


def watched(model, policy, num_frames=14, **options) -> Session:
    session = Session(model, policy, chunk_frames=4, text_tokens=64, **options)
    session.observe(random_frames(num_frames))
    session.flush()
    return session


def asked_of(session, monkeypatch):
    """Ask; return logits, each layer's raw queries, and raw keys and values that it read."""
    queries, recall = {}, Retriever.recall

    def listening(retriever, layer, asked):
        queries[layer] = asked.clone()
        recall(retriever, layer, asked)

    monkeypatch.setattr(Retriever, "recall", listening)
    stream, read = session._stream, []
    retriever = stream.memory.retriever
    with monkeypatch.context() as kept:
        kept.setattr(retriever.workspace, "clear", lambda: None)
        logits = session.next_token_logits(QUESTION)
    workspace = retriever.workspace
    for layer in range(10):
        start = workspace._starts[layer]
        cos, sin = workspace.layout.rotary.cos_sin(torch.arange(start, workspace.num_context_tokens)[None])
        keys = workspace._keys[layer][:, start : workspace.num_context_tokens]
        read.append(
            (
                rotate(keys, cos, -sin),
                workspace._values[layer][:, start : workspace.num_context_tokens].clone(),
            )
        )
    monkeypatch.undo()
    workspace.clear()
    return logits, queries, read


def stored(session, layer):
    """Raw keys and values of archive and memory, in the order of the stream."""
    cache, archive = session.cache, session._stream.memory.retriever.archive
    first, count = cache.num_prefix_tokens, archive.num_tokens
    return (
        torch.cat([archive._raw_keys[layer][:, :count], cache.keys(layer)[:, first:]], dim=1),
        torch.cat([archive._values[layer][:, :count], cache.values(layer)[:, first:]], dim=1),
    )


@pytest.mark.parametrize("policy", [RekvPolicy(budget_tokens=200), ResvPolicy(budget_tokens=400)])
def test_where_all_is_read_answers_are_those_of_the_full_cache(model, policy):
    full, session = watched(model, FullPolicy()), watched(model, policy)
    torch.testing.assert_close(
        session.next_token_logits(QUESTION), full.next_token_logits(QUESTION), **TOLERANCE
    )
    assert session.ask(QUESTION, max_new_tokens=6).text == full.ask(QUESTION, max_new_tokens=6).text


@pytest.mark.parametrize("policy", [RekvPolicy(budget_tokens=45), ResvPolicy(budget_tokens=72)])
def test_what_leaves_the_window_is_in_the_archive_bit_for_bit(model, policy):
    window, session = 5 if isinstance(policy, RekvPolicy) else 4, watched(model, policy, 8)
    seen = watched(model, policy, 4)
    archive = session._stream.memory.retriever.archive
    assert archive.num_tokens == (8 - window) * TOKENS_PER_TEMPORAL_PATCH
    assert archive._patch_ids[: archive.num_tokens].unique().tolist() == list(range(8 - window))
    for layer in range(10):
        keys, values = stored(session, layer)
        first = seen.cache.num_prefix_tokens
        assert torch.equal(keys[:, :36], seen.cache.keys(layer)[:, first:])
        assert torch.equal(values[:, :36], seen.cache.values(layer)[:, first:])


def test_the_host_does_not_wait_for_what_it_sends(model, monkeypatch):
    session, ahead = watched(model, RekvPolicy(budget_tokens=60)), []
    retriever = session._stream.memory.retriever
    assert retriever.archive.num_tokens > 8
    monkeypatch.setattr(archives, "sent", lambda one, device: ahead.append(one) or one.to(device))
    keys, values = retriever.archive.read(0, torch.arange(2, 8))
    assert [one.shape for one in ahead] == [keys.shape, values.shape]
    assert keys.shape[1] == 6


def test_rekv_reads_the_frames_that_answer_best(model, monkeypatch):
    session = watched(model, RekvPolicy(budget_tokens=45, read_patches=3))
    prefix = session.cache.num_prefix_tokens
    _, queries, read = asked_of(session, monkeypatch)
    seen = set()
    for layer in range(10):
        keys, values = stored(session, layer)
        query = queries[layer].mean(dim=1)
        per_kv_head = len(query) // len(keys)
        scores = []
        for frame in range(14):
            mean = keys[:, frame * 9 : frame * 9 + 9].mean(dim=1)
            scores.append(sum(float(query[h] @ mean[h // per_kv_head]) for h in range(len(query))))
        best = sorted(sorted(range(14), key=lambda frame: -scores[frame])[:3])
        tokens = [token for frame in best for token in range(frame * 9, frame * 9 + 9)]
        torch.testing.assert_close(read[layer][0][:, prefix:], keys[:, tokens], rtol=1e-4, atol=1e-4)
        assert torch.equal(read[layer][1][:, prefix:], values[:, tokens])
        assert torch.equal(read[layer][1][:, :prefix], session.cache.values(layer)[:, :prefix])
        seen.add(tuple(best))
    assert len(seen) > 1  # each layer chooses for itself
    assert any(frame < 9 for best in seen for frame in best)  # from the archive too


def test_resv_reads_heavy_clusters_and_the_window(model, monkeypatch):
    policy = ResvPolicy(budget_tokens=10_000, share=0.3, hash_bits=8, max_bits=1)
    monkeypatch.setattr(ResvPolicy, "window_tokens", 36)
    session = watched(model, policy, 12)
    prefix, archive = session.cache.num_prefix_tokens, session._stream.memory.retriever.archive
    _, queries, read = asked_of(session, monkeypatch)
    count, numbers = archive.num_tokens, set()
    assert count == 72
    for layer in range(10):
        keys, values = stored(session, layer)
        signs = hash_signs(keys[:, :count], 8, 0).tolist()
        chosen: set[int] = set()
        for head in range(len(keys)):
            founders, members = [], []
            for token, own in enumerate(signs[head]):
                distances = [sum(a != b for a, b in zip(own, other, strict=True)) for other in founders]
                if not distances or min(distances) > 1:
                    founders.append(own)
                    members.append([token])
                else:
                    members[distances.index(min(distances))].append(token)
            per_kv_head = len(queries[layer]) // len(keys)
            asked = queries[layer][head * per_kv_head : (head + 1) * per_kv_head].flatten(0, 1)
            weight = [0.0] * len(members)
            for query in asked:
                means = [keys[head, tokens].mean(dim=0) for tokens in members]
                heavy = [
                    len(tokens) * math.exp(float(query @ mean) / math.sqrt(len(query)))
                    for tokens, mean in zip(members, means, strict=True)
                ]
                weight = [w + h / sum(heavy) / len(asked) for w, h in zip(weight, heavy, strict=True)]
            held = 0.0
            for cluster in sorted(range(len(members)), key=lambda i: -weight[i]):
                if held < 0.3:
                    chosen.update(members[cluster])
                held += weight[cluster]
        tokens = [*sorted(chosen), *range(count, count + 36)]
        torch.testing.assert_close(read[layer][0][:, prefix:], keys[:, tokens], rtol=1e-4, atol=1e-4)
        assert torch.equal(read[layer][1][:, prefix:], values[:, tokens])
        numbers.add(len(tokens))
    assert len(numbers) > 1


def test_the_answer_is_that_of_a_plain_model_with_this_cache(model, checkpoint_folder, monkeypatch):
    session = watched(model, RekvPolicy(budget_tokens=45, read_patches=3))
    logits, _, read = asked_of(session, monkeypatch)
    plain, held = plain_model(checkpoint_folder), read[0][0].shape[1]
    past = DynamicCache(config=plain.config.text_config)
    for layer, (keys, values) in enumerate(read):
        cos, sin = plain.model.language_model.rotary_emb(values[None], torch.arange(held)[None])
        past.update(rotate(keys, cos[0], sin[0])[None], values[None].clone(), layer)
    asked = torch.cat([model.video_end, model.embed(model.chat.question_ids(QUESTION))])[None]
    with torch.no_grad():
        hidden = plain.model.language_model(
            inputs_embeds=asked,
            position_ids=held + torch.arange(asked.shape[1])[None],
            **{PAST: past},
            use_cache=True,
        ).last_hidden_state
        torch.testing.assert_close(logits, plain.lm_head(hidden[0, -1]), **TOLERANCE)
    assert torch.equal(logits, session.next_token_logits(QUESTION))


@pytest.mark.parametrize("make", [RekvPolicy, ResvPolicy])
@pytest.mark.parametrize("archive_keeps", ["newest", "uniform"])
def test_a_bounded_archive_stays_within_the_budget(model, make, archive_keeps):
    policy = make(budget_tokens=90, is_bounded=True, archive_keeps=archive_keeps)
    session = watched(model, policy, 60)
    archive = session._stream.memory.retriever.archive
    early = session.stats
    held = archive.num_tokens + max(session.cache.num_visual_tokens)
    assert 60 < held <= 90
    session.observe(random_frames(200, start=60, seed=2))
    session.flush()
    assert archive.num_tokens + max(session.cache.num_visual_tokens) <= 90
    late = session.stats
    assert (late.host_bytes, late.cache_bytes) == (early.host_bytes, early.cache_bytes)
    assert max(groups.counts.shape[1] for groups in archive.groups) <= archive.num_tokens
    frames = archive._patch_ids[: archive.num_tokens].unique()
    assert (frames.min() == 0) == (archive_keeps == "uniform")
    for layer in range(10):
        keys = archive.grouper.rows(archive._raw_keys[layer][:, : archive.num_tokens])
        groups, places = archive.groups[layer], archive.group_of_token(layer).long()
        assert int(groups.counts.sum()) == places.numel()
        for token in range(0, archive.num_tokens, 7):
            members = places[0] == places[0, token]
            mean = keys[0, members].mean(dim=0)
            torch.testing.assert_close(groups.means[0, places[0, token]], mean, rtol=1e-3, atol=1e-4)
    assert session.next_token_logits(QUESTION).isfinite().all()


def test_a_question_reads_no_more_than_its_budget_beside_the_window(model, monkeypatch):
    session = watched(model, ResvPolicy(budget_tokens=72, share=1.0))
    prefix = session.cache.num_prefix_tokens
    _, _, read = asked_of(session, monkeypatch)
    assert {keys.shape[1] - prefix for keys, _ in read} == {72}


def test_of_a_memory_that_is_too_long_its_newest_tokens_are_read(model):
    policy = ResvPolicy(budget_tokens=72)
    session = watched(model, policy)
    cache, prefix = session.cache, session.cache.num_prefix_tokens
    retriever = Retriever(cache, policy.retrieval(), max_positions=prefix + 20, text_tokens=8)
    retriever.recall(0, torch.zeros(model.layout.num_kv_heads, 1, model.layout.head_dim))
    assert torch.equal(retriever.workspace.values(0)[:, prefix:], cache.values(0)[:, -20:])


def test_seconds_of_a_recall_are_those_of_one_question(model, monkeypatch):
    session = watched(model, RekvPolicy(budget_tokens=45))
    monkeypatch.setattr(retrievers, "time", SimpleNamespace(perf_counter=count().__next__))
    for _ in range(2):
        session.next_token_logits(QUESTION)
        assert session._stream.memory.retriever.seconds == model.layout.num_layers


def test_costs_are_reported(model):
    session = watched(model, RekvPolicy(budget_tokens=45), 30)
    early = session.stats
    assert early.recall_seconds is None
    session.ask(QUESTION, max_new_tokens=3).close()
    stats = session.stats
    assert 0 < stats.recall_seconds < stats.ttft_seconds
    assert stats.cache_bytes > session.cache.num_bytes
    session.observe(random_frames(60, start=30))
    assert session.stats.host_bytes > early.host_bytes > 0
    assert session.stats.cache_bytes == stats.cache_bytes

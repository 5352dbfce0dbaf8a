"""What every model family must keep: equal to plain transformers, whatever the chunks, rates and sizes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.checkpoints import PAST, visual_tokens
from tests.families import FAMILIES, QUESTION, pictures, plain_model
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, DynamicCache

from hermes_stream import FullPolicy, HermesPolicy, Session, load_model
from hermes_stream.attention import forward
from hermes_stream.attention_weights import Probe
from hermes_stream.memory.rope import rotate
from hermes_stream.models.visual import joined_features, joined_pixels
from hermes_stream.segments import Segment
from hermes_stream.stream.positions import text_positions

MEANS_SOMETHING = 500
PROMPTS = ("what is on screen now?", "what came first? how many things came so far?")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory) -> Any:
    """A family, the folder of its tiny checkpoint, its adapter, and plain transformers of the weights."""
    family = FAMILIES[request.param]
    folder = family.save(tmp_path_factory.mktemp(request.param) / "checkpoint")
    return SimpleNamespace(
        name=request.param,
        folder=folder,
        model=load_model(folder, device="cpu"),
        plain=plain_model(folder),
        **vars(family),
    )


def watched(model, frames, policy=None, **options) -> Session:
    session = Session(model, policy or FullPolicy(), **options)
    session.observe(frames)
    session.flush()
    return session


def logits_of(model, frames, **options) -> torch.Tensor:
    return watched(model, frames, **options).next_token_logits(QUESTION)


@torch.no_grad()
def plain_logits(family, frames, *, fps=1.0, plain=None) -> torch.Tensor:
    inputs = family.inputs(family.folder, frames, QUESTION, fps=fps)
    if plain is not None:
        pixels = "pixel_values_videos" if "pixel_values_videos" in inputs else "pixel_values"
        inputs[pixels] = inputs[pixels].to(plain.dtype)
    return (plain or family.plain)(**inputs).logits[0, -1].float()


def distance(one, other) -> float:
    return float((one - other).abs().max())


def changed(frames, number):
    """Return the frames with another picture at one index."""
    size = frames[0].image.shape[:2]
    return [
        *frames[:number],
        *pictures(len(frames), seed=9, size=size)[number : number + 1],
        *frames[number + 1 :],
    ]


@pytest.mark.parametrize("count", [1, 6, 7])
@pytest.mark.parametrize("chunk_frames", [1, 3, 4, 16])
def test_full_cache_equals_plain_transformers(family, count, chunk_frames):
    frames = pictures(count)
    plain = plain_logits(family, frames)
    assert distance(logits_of(family.model, frames, chunk_frames=chunk_frames), plain) < family.tolerance
    # The tolerance means something: another picture in the stream exceeds it by far.
    other = [*pictures(1, seed=9), *frames[1:]]
    exceeded = distance(logits_of(family.model, other, chunk_frames=chunk_frames), plain)
    assert exceeded > MEANS_SOMETHING * family.tolerance


@pytest.mark.parametrize("fps", [0.5, 1, 2, 3])
def test_rates_reach_the_positions(family, fps):
    frames, steady = pictures(7, fps=fps), pictures(7, fps=1)
    ours = logits_of(family.model, frames, chunk_frames=4)
    assert distance(ours, plain_logits(family, frames, fps=fps)) < family.tolerance
    if family.rates and fps != 1:
        assert distance(ours, logits_of(family.model, steady)) > MEANS_SOMETHING * family.tolerance
    if not family.rates:
        assert distance(ours, logits_of(family.model, steady)) < family.tolerance


def test_sizes_and_shapes_equal_plain_transformers(family):
    seen = []
    for size in family.sizes:
        frames = pictures(5, size=size)
        ours = logits_of(family.model, frames, chunk_frames=2)
        assert distance(ours, plain_logits(family, frames)) < family.tolerance
        assert all(distance(ours, other) > MEANS_SOMETHING * family.tolerance for other in seen)
        seen.append(ours)


@pytest.mark.parametrize(("count", "fps"), [(5, 2), (40, 0.5)], ids=["short", "long"])
def test_greedy_answers_equal_plain_generate(family, count, fps):
    """Also where the video's time has run further than the question's positions."""
    answers, stops = [], family.model.chat.stop_token_ids
    for seed in range(3):
        frames = pictures(count, fps=fps, seed=seed)
        inputs = family.inputs(family.folder, frames, QUESTION, fps=fps)
        made = family.plain.generate(**inputs, max_new_tokens=10, do_sample=False)
        expected = [t for t in made[0, inputs["input_ids"].shape[1] :].tolist() if t not in stops]
        answer = watched(family.model, frames, chunk_frames=8).ask(QUESTION, max_new_tokens=10)
        assert answer.text == family.model.chat.decode(expected)
        assert answer.token_ids == expected
        answers.append(tuple(expected))
    assert len(set(answers)) > 1


def text_segment(session, text, probe=None) -> Segment:
    """Return text behind all that a stream holds."""
    model, cache = session.model, session.cache
    embeddings = model.embed(model.chat.encode(text))
    positions = text_positions(model.layout.rotary.num_axes, len(embeddings), cache.next_position)
    if probe is None:
        cache.append(positions)
    return Segment(cache=cache, embeddings=embeddings, positions=positions, probe=probe)


@torch.no_grad()
def test_streams_packed_in_one_forward_equal_streams_alone(family):
    model = family.model
    streams = [
        watched(model, pictures(count, seed=count, size=size), chunk_frames=4)
        for count, size in zip((7, 2, 10), family.sizes * 3, strict=False)
    ]
    texts = (QUESTION, *PROMPTS)
    alone, marks = [], [session.cache.mark() for session in streams]
    for session, text, mark in zip(streams, texts, marks, strict=True):
        alone += forward(model.decoder, [text_segment(session, text)])
        session.cache.rewind(mark)
    packed = forward(model.decoder, [text_segment(s, t) for s, t in zip(streams, texts, strict=True)])
    for one, other in zip(alone, packed, strict=True):
        assert distance(one, other) < family.tolerance
    for session, mark in zip(streams, marks, strict=True):
        session.cache.rewind(mark)
    swapped = forward(model.decoder, [text_segment(s, QUESTION) for s in (streams[1], streams[0])])
    assert distance(swapped[1], alone[0]) < family.tolerance
    assert distance(swapped[0], alone[0]) > MEANS_SOMETHING * family.tolerance


@torch.no_grad()
def test_chunks_packed_in_one_forward_equal_chunks_alone(family):
    """Where features go to layers behind the first, they must find their own stream's tokens."""
    model = family.model
    alone = [watched(model, pictures(count, seed=count)) for count in (4, 3)]
    together = [Session(model, FullPolicy()) for _ in alone]
    segments = []
    for session, count in zip(together, (4, 3), strict=True):
        visual = visual_tokens(model, pictures(count, seed=count), start_seconds=0.0, num_patches_before=0)
        cache = session.cache
        positions = session._stream.memory._positions.of_chunk(visual, cache.next_position)
        cache.append(positions)
        segments.append(
            Segment(
                cache=cache, embeddings=visual.embeddings, positions=positions, deepstack=visual.deepstack
            )
        )
    segments.insert(1, text_segment(watched(model, pictures(1)), QUESTION))
    forward(model.decoder, segments)
    for one, other in zip(alone, together, strict=True):
        for layer in range(model.layout.num_layers):
            assert distance(one.cache.keys(layer), other.cache.keys(layer)) < family.tolerance
            assert distance(one.cache.values(layer), other.cache.values(layer)) < family.tolerance
    layer = model.layout.num_layers - 1
    held = min(session.cache.num_tokens[0] for session in alone)
    keys = [session.cache.keys(layer)[:, :held] for session in alone]
    assert distance(*keys) > MEANS_SOMETHING * family.tolerance


@torch.no_grad()
def test_guidance_attention_equals_eager_attention(family):
    frames = pictures(5, fps=2)
    session = watched(family.model, frames)
    cache, held = session.cache, session.cache.num_tokens[0]
    probes = [
        Probe(
            weights=torch.zeros(len(cache.num_tokens), held), layers=frozenset(range(len(cache.num_tokens)))
        )
        for _ in PROMPTS
    ]
    segments = [text_segment(session, text, probe) for text, probe in zip(PROMPTS, probes, strict=True)]
    forward(family.model.decoder, segments)
    plain = plain_model(family.folder, "eager")
    for segment, text in zip(segments, PROMPTS, strict=True):
        past = getattr(plain(**family.inputs(family.folder, frames, QUESTION, fps=2), use_cache=True), PAST)
        past.crop(held - past.get_seq_length())
        ids = torch.tensor([family.model.chat.encode(text)])
        axes = segment.positions[:, None] if len(segment.positions) == 3 else segment.positions
        attentions = plain.get_decoder()(
            input_ids=ids, position_ids=axes, **{PAST: past}, output_attentions=True
        ).attentions
        eager = torch.stack([layer[0, :, :, :held].mean(dim=(0, 1)) for layer in attentions])
        torch.testing.assert_close(segment.probe.weights, eager, rtol=1e-3, atol=1e-6)
        assert 0 < float(eager.sum(dim=1).min()) < float(eager.sum(dim=1).max()) < 1
    assert distance(probes[0].weights, probes[1].weights) > 1e-4


def held_by(cache) -> list[torch.Tensor]:
    layers = range(cache.layout.num_layers)
    held = [part(i).clone() for i in layers for part in (cache.keys, cache.values, cache.rotated_keys)]
    return held + [cache.positions(i).clone() for i in layers] + [cache.state().token_ids]


@pytest.mark.parametrize("policy", [FullPolicy(), HermesPolicy.paper(30)], ids=["full", "hermes"])
def test_a_question_leaves_the_memory_bit_for_bit(family, policy):
    session = watched(family.model, pictures(12), policy, chunk_frames=4)
    before = held_by(session.cache)
    asked = session.ask(QUESTION, max_new_tokens=6).text
    next(iter(session.ask(QUESTION, max_new_tokens=6)), None)
    session.next_token_logits(PROMPTS[1])
    assert session.ask(QUESTION, max_new_tokens=6).text == asked
    assert all(torch.equal(one, other) for one, other in zip(before, held_by(session.cache), strict=True))
    session.observe(pictures(2, start=20))
    session.flush()
    assert not torch.equal(before[-1], held_by(session.cache)[-1])


def lower_right(module, query, key, value, attention_mask, *, scaling, **_) -> tuple[torch.Tensor, None]:
    """Attend causally over as many keys as a layer happens to hold; transformers has one mask for all."""
    groups = query.shape[1] // key.shape[1]
    mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool).tril(key.shape[2] - query.shape[2])
    output = scaled_dot_product_attention(
        query, key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1), mask, scale=scaling
    )
    return output.transpose(1, 2), None


def ragged_model(folder) -> Any:
    """Load a checkpoint as transformers does, for layers that hold different numbers of keys."""
    AttentionInterface.register("test_lower_right", lower_right)
    plain = plain_model(folder)
    plain.set_attn_implementation({"text_config": "test_lower_right", "vision_config": "sdpa"})
    return plain


@torch.no_grad()
def answered(plain, held, session, shift=0) -> torch.Tensor:
    """Return what plain transformers says to the question, given each layer's rotated keys and values."""
    model, axes = session.model, session.cache.layout.rotary.num_axes
    past = DynamicCache(config=plain.config.text_config)
    for layer, (keys, values) in enumerate(held):
        past.update(keys[None].clone(), values[None].clone(), layer)
    embeddings = torch.cat([model.video_end, model.embed(model.chat.question_ids(QUESTION))])[None]
    positions = text_positions(axes, embeddings.shape[1], session.cache.next_position + shift)
    hidden = plain.get_decoder()(
        inputs_embeds=embeddings,
        position_ids=positions[:, None] if axes == 3 else positions,
        **{PAST: past},
        use_cache=True,
    ).last_hidden_state
    return plain.lm_head(hidden[0, -1])


def cos_sin(plain, positions, like) -> tuple[torch.Tensor, torch.Tensor]:
    """Return transformers' own cosine and sine of positions."""
    axes = positions[:, None] if len(positions) == 3 else positions
    cos, sin = plain.get_decoder().rotary_emb(like[None], axes)
    return cos[0], sin[0]


@torch.no_grad()
def test_reindexing_equals_recomputing_at_the_new_positions(family):
    """Keys of plain transformers, rotated back from its positions and on to the dense ones, answer alike."""
    frames = pictures(8)
    policy = HermesPolicy(budget_tokens=20, summarize=False, reindex="eager")
    session = watched(family.model, frames, policy)
    cache, inputs = session.cache, family.inputs(family.folder, frames, QUESTION)
    prefix = cache.num_prefix_tokens
    assert cache.num_compressions == 1
    first_id = watched(family.model, frames[:1]).cache.state().token_ids[0, 0]
    plain, seen_positions = ragged_model(family.folder), []
    plain.get_decoder().register_forward_pre_hook(
        lambda _, __, kwargs: seen_positions.append(kwargs["position_ids"]), with_kwargs=True
    )
    native = getattr(plain(**inputs, use_cache=True), PAST)
    old = (
        seen_positions[0]
        if seen_positions[0] is not None
        else torch.arange(native.get_seq_length())[None, None]
    )
    held = []
    for index, layer in enumerate(native.layers):
        ids = cache.state().token_ids[index]
        kept = torch.cat([torch.arange(prefix), prefix + ids[ids >= 0] - first_id])
        keys, values = layer.keys[0][:, kept], layer.values[0][:, kept]
        cos, sin = cos_sin(plain, old[:, 0][:, kept], keys)
        raw = rotate(keys, cos, -sin)
        assert distance(raw, cache.keys(index)) < family.tolerance
        new = cache.positions(index)
        assert new[0].max() < max(cache.num_tokens)  # rows and columns may reach beyond the newest time
        held.append((rotate(raw, *cos_sin(plain, new, keys)), values))
    ours = session.next_token_logits(QUESTION)
    assert distance(ours, answered(plain, held, session)) < family.tolerance
    assert distance(ours, answered(plain, held, session, shift=3)) > MEANS_SOMETHING * family.tolerance


@pytest.mark.parametrize(
    ("reindex", "gaps"), [("lazy", "ranked"), ("eager", "ranked"), ("lazy", "scaled"), ("eager", "scaled")]
)
def test_streams_far_past_the_position_limit_equal_a_recomputation(family, reindex, gaps, tmp_path):
    folder = family.save(tmp_path / "short", max_positions=256)
    model, plain = load_model(folder, device="cpu"), ragged_model(folder)
    policy = HermesPolicy(budget_tokens=40, reindex=reindex, gaps=gaps)
    session = Session(model, policy, chunk_frames=4, text_tokens=40)
    for frame in pictures(100):
        session.observe(frame)
        assert session.cache.next_position + 40 <= 256
    session.flush()
    assert session.stats.num_visual_tokens_seen > 256
    ours, cache = session.next_token_logits(QUESTION), session.cache
    assert ours.isfinite().all()
    held = [
        (rotate(cache.keys(i), *cos_sin(plain, cache.positions(i), cache.keys(i))), cache.values(i))
        for i in range(cache.layout.num_layers)
    ]
    assert distance(ours, answered(plain, held, session)) < family.tolerance
    assert distance(ours, answered(plain, held, session, shift=5)) > MEANS_SOMETHING * family.tolerance


@pytest.mark.parametrize("reindex", ["lazy", "eager"])
def test_rows_and_columns_stay_where_new_frames_have_theirs(family, reindex, tmp_path):
    """After many compressions of ragged layers every token still stands at its true row and column."""
    model = load_model(family.save(tmp_path / "short", max_positions=256), device="cpu")
    if model.layout.rotary.num_axes == 1:
        pytest.skip("positions of one axis have no rows and columns")
    policy = HermesPolicy(budget_tokens=40, tier_budget_weights=(0.7, 1.0, 1.3), reindex=reindex)
    session = Session(model, policy, chunk_frames=8, text_tokens=40)
    cache, ends, size = session.cache, [], (16, 40)
    for frame in pictures(400, size=size):
        session.observe(frame)
        ends.append(cache.next_frame_position)
    state, prefix, columns = cache.state(), cache.num_prefix_tokens, size[1] // 8
    assert cache.num_compressions > 30
    assert ends != sorted(ends)  # gaps were closed on the way
    for layer in range(cache.layout.num_layers):
        is_visual = state.grid_indices[layer] >= 0
        index = state.grid_indices[layer][is_visual]
        own = cache.positions(layer)[:, prefix:][:, is_visual[: cache.num_visual_tokens[layer]]]
        base = own[0] if model.layout.grid_follows_time else prefix
        assert (own[1] - base).tolist() == (index // columns).tolist()
        assert (own[2] - base).tolist() == (index % columns).tolist()


def test_frames_of_several_streams_are_looked_at_together(family):
    model = family.model
    chunks = [model.prepare(pictures(count, seed=count)) for count in (2, 3, 4)]
    counts = [chunk.grid[0] for chunk in chunks]
    for own, chunk in zip(model.encode(joined_pixels(chunks)).split(counts), chunks, strict=True):
        alone = model.encode(chunk)
        assert own.grid == alone.grid
        torch.testing.assert_close(own.tokens, alone.tokens, rtol=1e-4, atol=1e-5)
        if alone.deepstack is not None:
            torch.testing.assert_close(own.deepstack, alone.deepstack, rtol=1e-4, atol=1e-5)
    again = joined_features([model.encode(chunk) for chunk in chunks])
    torch.testing.assert_close(again.tokens, model.encode(joined_pixels(chunks)).tokens, rtol=1e-4, atol=1e-5)


def test_features_behind_the_first_layers_land_on_their_tokens(family, monkeypatch):
    frames = pictures(6)
    right = plain_logits(family, frames)
    lay_out = family.model.lay_out
    stack = visual_tokens(family.model, frames, start_seconds=0.0, num_patches_before=0).deepstack
    if stack is None:
        pytest.skip("this family adds features to the first layer alone")
    for shift in (0, 1, -1):
        monkeypatch.setattr(
            family.model, "lay_out", lambda *a, shift=shift, **k: rolled(lay_out(*a, **k), shift)
        )
        apart = distance(logits_of(family.model, frames, chunk_frames=4), right)
        if shift:
            assert apart > MEANS_SOMETHING * family.tolerance
        else:
            assert apart < family.tolerance


def rolled(visual, shift):
    return replace(visual, deepstack=visual.deepstack.roll(shift, dims=1))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_stays_near_plain_transformers(family, dtype):
    frames = pictures(7)
    exact = plain_logits(family, frames)
    plain = plain_logits(family, frames, plain=plain_model(family.folder, dtype=getattr(torch, dtype)))
    model = load_model(family.folder, device="cpu", dtype=dtype)
    ours = logits_of(model, frames, chunk_frames=4)
    tolerance = family.half_tolerances[dtype]
    assert distance(ours, plain) < tolerance
    assert distance(ours, exact) < tolerance
    assert distance(logits_of(model, changed(frames, 0), chunk_frames=4), plain) > tolerance

"""What must be equal: to plain transformers, between chunkings, before and after a question."""

from __future__ import annotations

import pytest
import torch
from tests.checkpoints import PAST, plain_inputs, plain_model, random_frames, save_random_checkpoint
from transformers import DynamicCache

from hermes_stream import FullPolicy, HermesPolicy, Session, WindowPolicy, load_model
from hermes_stream.memory.rope import rotate

QUESTION = "what came before the red circle?"
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


def memory_of(session: Session) -> list[torch.Tensor]:
    """Copy everything that the stream remembers."""
    cache = session.cache
    layers = range(cache.layout.num_layers)
    copies = [part(i).clone() for i in layers for part in (cache.keys, cache.values, cache.rotated_keys)]
    return copies + [cache.positions(i).clone() for i in layers] + [cache.state().token_ids]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("chunk_frames", [1, 3, 5, 12, 16])
def test_full_cache_equals_plain_transformers(model, checkpoint_folder, chunk_frames):
    frames = random_frames(12)
    session = Session(model, FullPolicy(), chunk_frames=chunk_frames)
    session.observe(frames)
    with torch.no_grad():
        plain = plain_model(checkpoint_folder)(**plain_inputs(model, frames, QUESTION)).logits[0, -1]
    torch.testing.assert_close(session.next_token_logits(QUESTION), plain, **TOLERANCE)
    # The tolerance means something: another picture in the stream exceeds it by far.
    other = Session(model, FullPolicy(), chunk_frames=chunk_frames)
    other.observe([*frames[:3], *random_frames(9, seed=1, start=3)])
    assert (other.next_token_logits(QUESTION) - plain).abs().max() > 100 * TOLERANCE["atol"]


def test_a_budget_that_is_never_reached_changes_nothing(model):
    frames = random_frames(10)
    sessions = [
        Session(model, policy)
        for policy in (FullPolicy(), HermesPolicy.paper(200), WindowPolicy(budget_tokens=200))
    ]
    for session in sessions:
        session.observe(frames)
    logits = [session.next_token_logits(QUESTION) for session in sessions]
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=0)
    torch.testing.assert_close(logits[0], logits[2], rtol=0, atol=0)


def test_greedy_answer_equals_plain_generate(model, checkpoint_folder):
    frames = random_frames(6)
    session = Session(model, FullPolicy())
    session.observe(frames)
    answer = session.ask(QUESTION, max_new_tokens=12)
    plain = plain_model(checkpoint_folder)
    inputs = plain_inputs(model, frames, QUESTION)
    made = plain.generate(**inputs, max_new_tokens=12, do_sample=False)[
        0, inputs["input_ids"].shape[1] :
    ].tolist()
    expected = [token for token in made if token not in model.chat.stop_token_ids]
    assert answer.text == model.chat.decode(expected)
    assert answer.token_ids == expected


def test_asking_leaves_the_memory_bit_for_bit(model):
    session = Session(model, HermesPolicy.paper(40), chunk_frames=4)
    session.observe(random_frames(20))
    session.flush()
    before = memory_of(session)
    first = session.ask(QUESTION, max_new_tokens=8)
    assert first.text == session.ask(QUESTION, max_new_tokens=8).text
    abandoned = session.ask(QUESTION, max_new_tokens=8)
    next(iter(abandoned), None)
    session.next_token_logits("what is on screen now?")
    assert same(before, memory_of(session))


def test_nothing_is_computed_for_a_question_but_the_question(model):
    session = Session(model, HermesPolicy.paper(40), chunk_frames=4)
    session.observe(random_frames(20))
    lengths: list[int] = []
    hook = model.decoder.register_forward_pre_hook(
        lambda _, __, kwargs: lengths.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    try:
        answer = session.ask(QUESTION, max_new_tokens=5, stop=())
        answer.close()
    finally:
        hook.remove()
    assert lengths == [1 + len(model.chat.question_ids(QUESTION))]


def test_guidance_and_compression_do_not_depend_on_earlier_questions_text_left_behind(model):
    """A conversation steers later guidance, and nothing else: the memory before compression is equal."""
    frames = random_frames(8)
    silent, asked = (Session(model, HermesPolicy.paper(200), chunk_frames=4) for _ in range(2))
    silent.observe(frames)
    asked.observe(frames[:4])
    answer = asked.ask(QUESTION, max_new_tokens=3)
    assert list(answer)
    assert len(answer.token_ids) == 3
    asked.observe(frames[4:])
    assert same(memory_of(silent), memory_of(asked))


def test_memory_bytes_are_equal_after_100_and_10000_frames(tmp_path):
    model = load_model(save_random_checkpoint(tmp_path / "shallow", num_layers=3), device="cpu")
    session = Session(model, HermesPolicy.paper(45), chunk_frames=64, text_tokens=64)
    frames = random_frames(10_000)
    session.observe(frames[:100])
    session.flush()
    early = session.stats
    session.observe(frames[100:])
    session.flush()
    late = session.stats
    assert late.num_visual_tokens_seen == 90_000
    assert early.cache_bytes == late.cache_bytes
    assert early.num_visual_tokens_kept == late.num_visual_tokens_kept == 45
    assert session.next_token_logits(QUESTION).isfinite().all()


def recomputed_logits(model, folder, session, question):
    """Ask plain transformers, its cache filled with what the session kept, turned to the kept positions."""
    plain, cache = plain_model(folder), session.cache
    past = DynamicCache(config=plain.config.text_config)
    for layer in range(cache.layout.num_layers):
        cos, sin = plain.model.language_model.rotary_emb(cache.values(layer)[None], cache.positions(layer))
        past.update(rotate(cache.keys(layer), cos[0], sin[0])[None], cache.values(layer)[None].clone(), layer)
    embeddings = torch.cat([model.video_end, model.embed(model.chat.question_ids(question))])[None]
    positions = cache.next_position + torch.arange(embeddings.shape[1])[None]
    with torch.no_grad():
        hidden = plain.model.language_model(
            inputs_embeds=embeddings, position_ids=positions, **{PAST: past}, use_cache=True
        ).last_hidden_state
        return plain.lm_head(hidden[0, -1])


@pytest.mark.parametrize("reindex", ["lazy", "eager"])
def test_streams_past_the_position_limit_equal_a_recomputation(tmp_path, reindex):
    folder = save_random_checkpoint(tmp_path / "short", max_positions=256)
    model = load_model(folder, device="cpu")
    session = Session(model, HermesPolicy(budget_tokens=40, reindex=reindex), chunk_frames=3, text_tokens=32)
    furthest = 0
    for frame in random_frames(80):
        session.observe(frame)
        furthest = max(furthest, session.cache.next_position)
        assert session.cache.next_position + 32 <= 256
    session.flush()
    assert 80 * 9 > 256
    assert furthest > 150 if reindex == "lazy" else furthest < 80
    torch.testing.assert_close(
        session.next_token_logits(QUESTION),
        recomputed_logits(model, folder, session, QUESTION),
        **TOLERANCE,
    )


def test_layers_that_hold_different_numbers_are_aligned_to_one_now(model):
    policy = HermesPolicy(budget_tokens=40, tier_budget_weights=(0.7, 1.0, 1.3), reindex="eager")
    session = Session(model, policy, chunk_frames=4)
    session.observe(random_frames(12))
    cache = session.cache
    assert cache.num_visual_tokens == policy.layer_budgets(10)
    assert len(set(cache.num_visual_tokens)) >= 3
    assert {int(cache.positions(layer).max()) + 1 for layer in range(10)} == {cache.next_position}
    for layer in range(10):
        cos, sin = cache.layout.rotary.cos_sin(cache.positions(layer))
        assert torch.equal(cache.rotated_keys(layer), rotate(cache.keys(layer), cos, sin))

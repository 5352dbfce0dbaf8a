"""The public face: frames in, answers out, failures that leave the stream usable."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests.checkpoints import random_frames, save_random_checkpoint

from hermes_stream import (
    CapacityError,
    Frame,
    FullPolicy,
    HermesPolicy,
    ModelError,
    Session,
    VideoError,
    load_model,
)

QUESTION = "what is on screen now?"


@pytest.fixture
def session(model) -> Session:
    session = Session(model, HermesPolicy.paper(40), chunk_frames=4)
    session.observe(random_frames(6))
    return session


def test_frames_wait_for_their_chunk_and_a_question_folds_them_in(session):
    assert (session.stats.num_frames, session.stats.num_pending_frames) == (6, 2)
    answer = session.ask(QUESTION, max_new_tokens=2)
    assert session.stats.num_pending_frames == 0
    assert session.stats.num_visual_tokens_seen == 54
    assert 0 < answer.ttft_seconds < answer.ttft_with_pending_seconds


def test_stats_count_what_happened(session):
    session.flush()
    answer = session.ask(QUESTION, max_new_tokens=4)
    assert answer.text.strip()
    stats = session.stats
    assert stats.num_visual_tokens_kept == 40
    assert stats.num_kept_by_tier == {"sensory": 40, "working": 40, "long_term": 40}
    assert stats.num_compressions == 1
    assert stats.num_questions == 1
    assert stats.cache_bytes == session.cache.num_bytes > 0
    assert stats.tokens_per_second == answer.tokens_per_second > 0


def test_pieces_join_to_the_text(session):
    pieces = list(session.ask(QUESTION, max_new_tokens=6))
    assert "".join(pieces) == session.ask(QUESTION, max_new_tokens=6).text


def test_an_open_answer_is_finished_when_the_session_goes_on(session):
    session.flush()
    before = session.cache.mark()
    whole = session.ask(QUESTION, max_new_tokens=6, repetition_penalty=2.0).text
    answer = session.ask(QUESTION, max_new_tokens=6, repetition_penalty=2.0)
    assert session.cache.mark() != before
    session.observe(random_frames(1, start=6))
    assert answer.finish_reason == "length"
    assert session.cache.mark() == before
    assert str(answer) == whole


def test_a_closed_answer_is_given_up_and_the_session_goes_on(session):
    session.flush()
    before = session.cache.mark()
    answer = session.ask(QUESTION, max_new_tokens=6, repetition_penalty=2.0)
    answer.close()
    assert answer.finish_reason == "abandoned"
    assert session.cache.mark() == before
    assert list(answer) == []


def test_answers_that_were_not_read_at_once_are_whole(session):
    session.flush()
    alone = [session.ask(question, max_new_tokens=6).text for question in (QUESTION, "what moves?")]
    together = [session.ask(question, max_new_tokens=6) for question in (QUESTION, "what moves?")]
    assert [str(answer) for answer in together] == alone


def test_an_answer_that_fails_rewinds(session, monkeypatch):
    session.flush()
    expected = session.ask(QUESTION, max_new_tokens=2).text
    before = session.cache.mark()

    def broken(hidden):
        raise RuntimeError("device lost")

    monkeypatch.setattr(session.model, "logits", broken)
    with pytest.raises(RuntimeError, match="device lost"):
        session.ask(QUESTION)
    monkeypatch.undo()
    assert session.cache.mark() == before
    assert session.ask(QUESTION, max_new_tokens=2).text == expected


@pytest.mark.parametrize("part", ["prepare", "encode", "logits", "plan"])
def test_a_failed_observe_loses_nothing(model, monkeypatch, part):
    frames = random_frames(12)
    policy = HermesPolicy.paper(40)
    undisturbed, session = (Session(model, policy, chunk_frames=4) for _ in range(2))
    undisturbed.observe(frames)
    session.observe(frames[:7])
    target, name = (HermesPolicy, "plan") if part == "plan" else (type(model), part)
    if part == "logits":  # the decoder itself
        target, name = type(model.decoder), "forward"

    def broken(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(target, name, broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        session.observe(frames[7:8])
    monkeypatch.undo()
    session.observe(frames[8:])
    assert session.stats.num_frames == 12
    assert torch.equal(session.next_token_logits(QUESTION), undisturbed.next_token_logits(QUESTION))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Frame(pts_seconds=5.0, image=np.zeros((4, 4, 3), np.uint8)), "order of time"),
        (Frame(pts_seconds=float("nan"), image=np.zeros((4, 4, 3), np.uint8)), "finite"),
        (Frame(pts_seconds=9.0, image=np.zeros((4, 4, 3), np.float32)), "float32"),
        (Frame(pts_seconds=9.0, image=np.zeros((4, 4), np.uint8)), r"\[4, 4\]"),
        (Frame(pts_seconds=9.0, image=np.zeros((0, 4, 3), np.uint8)), r"\[0, 4, 3\]"),
        ("a picture", "one path"),
    ],
)
def test_a_bad_frame_is_refused_and_the_session_goes_on(session, bad, reason):
    with pytest.raises(ValueError, match=reason):
        session.observe([*random_frames(1, start=6), bad])
    session.observe(random_frames(1, start=20))
    assert session.stats.num_frames == 8


def test_a_rate_samples_by_time(model):
    session = Session(model, FullPolicy(), fps=2.0)
    session.observe(random_frames(100, fps=30.0))
    assert session.stats.num_frames == 7
    jittery = Session(model, FullPolicy(), fps=1.0)
    picture = random_frames(1)[0].image
    jittery.observe([Frame(pts_seconds=t, image=picture) for t in (0.0, 1.03, 1.98, 3.01, 3.97)])
    assert jittery.stats.num_frames == 5


def test_options_are_chosen_by_letter(session):
    options = ["red circle", "blue square", "nothing"]
    answer = session.ask("what came first?", options)
    assert answer.text == options[answer.option_index]
    logits = session.next_token_logits("what came first?", options)
    letters = [session.model.chat.encode(letter)[0] for letter in "ABC"]
    assert answer.option_index == int(logits[letters].argmax())


def test_the_last_conversation_steers_later_guidance(model):
    frames = random_frames(12)
    silent, asked = (Session(model, HermesPolicy.paper(40), chunk_frames=4) for _ in range(2))
    for session in (silent, asked):
        session.observe(frames[:4])
    asked.ask("was there a red circle?", ["yes", "no"])
    for session in (silent, asked):
        session.observe(frames[4:])
    kept = [session.cache.state().token_ids for session in (silent, asked)]
    assert not torch.equal(kept[0], kept[1])


def test_sampling_follows_its_seed(session):
    texts = [session.ask(QUESTION, temperature=5.0, max_new_tokens=8, seed=s).text for s in (1, 1, 2, 3, 4)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_a_question_too_long_is_refused_with_the_numbers(session):
    expected = session.ask(QUESTION, max_new_tokens=2).text
    with pytest.raises(CapacityError, match=r"takes \d+ tokens.*512"):
        session.ask("red " * 600)
    with pytest.raises(CapacityError, match=r"up to 5000"):
        session.ask(QUESTION, max_new_tokens=5000)
    assert session.ask(QUESTION, max_new_tokens=2).text == expected


def test_an_answer_may_fill_the_room_for_text_exactly(model):
    question = model.chat.question_ids(QUESTION)
    session = Session(model, FullPolicy(), text_tokens=len(question) + 1 + 3)
    session.observe(random_frames(2))
    answer = session.ask(QUESTION, max_new_tokens=3, stop=("never said",))
    assert (len(list(answer)) > 0, len(answer.token_ids), answer.finish_reason) == (True, 3, "length")
    with pytest.raises(CapacityError):
        session.ask(QUESTION, max_new_tokens=4)


def test_questions_need_words_and_frames(model, session):
    with pytest.raises(ValueError, match="non-empty"):
        session.ask("  ")
    with pytest.raises(ValueError, match="2 to 26"):
        session.ask(QUESTION, ["only one"])
    with pytest.raises(VideoError, match="no frame"):
        Session(model).ask(QUESTION)


def test_arguments_out_of_range_are_refused(model):
    for arguments in ({"chunk_frames": 0}, {"text_tokens": 0}, {"fps": 0.0}, {"fps": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            Session(model, **arguments)


def test_budget_and_positions_must_fit_together(tmp_path):
    model = load_model(save_random_checkpoint(tmp_path / "short", max_positions=128), device="cpu")
    with pytest.raises(CapacityError, match=r"128 positions.*lower text_tokens"):
        Session(model, text_tokens=110)
    session = Session(model, HermesPolicy.paper(20), chunk_frames=16, text_tokens=16)
    assert session.chunk_frames < 16
    for weights in ((1.0, 1.0, 1.0), (0.7, 1.0, 1.3)):
        policy = HermesPolicy(budget_tokens=5000, tier_budget_weights=weights)
        session = Session(model, policy, text_tokens=16, chunk_frames=2)
        session.observe(random_frames(30))
        session.flush()
        assert session.stats.num_visual_tokens_kept == max(session.policy.layer_budgets(10)) < 128
        assert session.next_token_logits(QUESTION).isfinite().all()
    full = Session(model, FullPolicy(), text_tokens=16)
    with pytest.raises(CapacityError, match="128 positions"):
        full.observe(random_frames(30))
    assert full.stats.num_pending_frames > 0
    with pytest.raises(CapacityError, match="128 positions"):
        full.ask(QUESTION)


@pytest.mark.parametrize("options", [None, ["red", "blue"]])
def test_a_model_that_overflows_says_so(session, monkeypatch, options):
    session.flush()
    before, logits = session.cache.mark(), session.model.logits

    def overflowing(hidden):
        return logits(hidden).index_fill(-1, torch.tensor([7]), float("nan"))

    with monkeypatch.context() as patched:
        patched.setattr(session.model, "logits", overflowing)
        with pytest.raises(ModelError, match="infinite or no numbers"):
            session.ask(QUESTION, options)
    assert session.cache.mark() == before
    assert session.ask(QUESTION, max_new_tokens=2).text


@pytest.mark.parametrize("wrong", [{"chunk_frames": 1.5}, {"text_tokens": 64.5}])
def test_sizes_are_whole_numbers(model, wrong):
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        Session(model, **wrong)


@pytest.mark.parametrize("fps", [0, -1.0, math.inf])
def test_a_rate_that_is_none_is_refused_before_a_picture_is_taken(model, fps):
    session = Session(model)
    with pytest.raises(ValueError, match="fps is"):
        session.observe(np.zeros((3, 48, 48, 3), np.uint8), fps=fps)
    assert session.stats.num_frames == 0

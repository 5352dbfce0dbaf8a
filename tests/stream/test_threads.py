"""Threads: they may share a session, and sessions a model; an engine belongs to one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from tests.checkpoints import random_frames

from hermes_lab.stress.threads import run_bouts
from hermes_stream import HermesPolicy, Session, load_model
from hermes_stream.errors import ThreadError
from hermes_stream.policies import LiveVlmPolicy, RekvPolicy, WindowPolicy
from hermes_stream.stream.engine import Engine

QUESTION = "what is on screen now?"


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny")


def in_another_thread(call: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1, thread_name_prefix="stranger") as pool:
        return pool.submit(call).result()


@pytest.mark.long
def test_a_camera_and_two_who_ask_share_a_session(tiny):
    found = run_bouts(tiny, num_threads=3, seconds=4, seed=1, bout_seconds=1)
    assert (found["num_errors"], found["num_wrong"]) == (0, 0), found["errors"]
    assert found["num_answers"] > 0
    assert found["calls"]["observe"] > 0


@pytest.mark.long
def test_sessions_in_threads_share_a_model(model):
    policies = (
        HermesPolicy(budget_tokens=40, guidance_forward="embeddings"),
        HermesPolicy.paper(40),
        HermesPolicy(budget_tokens=40, guidance_forward="embeddings"),
        LiveVlmPolicy(budget_tokens=60),
        RekvPolicy(budget_tokens=60),
        WindowPolicy(budget_tokens=45),
    )

    def watch(number: int) -> tuple[list[list[int]], torch.Tensor]:
        session, answers = Session(model, policies[number], chunk_frames=4), []
        for start in range(0, 30, 10):
            session.observe(random_frames(30, seed=number)[start : start + 10])
            answers.append(session.ask(QUESTION, max_new_tokens=4))
        assert all(answer.text is not None for answer in answers)
        return [answer.token_ids for answer in answers], session.next_token_logits(QUESTION)

    alone = [watch(number) for number in range(len(policies))]
    with ThreadPoolExecutor(len(policies)) as pool:
        together = list(pool.map(watch, range(len(policies))))
    for (ids, logits), (own_ids, own_logits) in zip(together, alone, strict=True):
        assert ids == own_ids
        assert torch.equal(logits, own_logits)


@pytest.mark.parametrize("guidance_forward", ["embeddings", "true"])
def test_hooks_that_come_and_go_in_another_thread_change_nothing(model, guidance_forward):
    """Only one session reads without advancing, or lets prompts leave; the other must never see it."""
    over = threading.Event()
    session = Session(model, WindowPolicy(budget_tokens=40), chunk_frames=4)
    session.observe(random_frames(8))
    expected = session.next_token_logits(QUESTION)

    def read_guidance() -> None:
        policy = HermesPolicy(budget_tokens=20, guidance_forward=guidance_forward)
        other = Session(model, policy, chunk_frames=1)
        for frame in random_frames(1000, seed=3):
            other.observe(frame)
            if over.is_set():
                return

    thread = threading.Thread(target=read_guidance)
    thread.start()
    try:
        for _ in range(60):
            assert torch.equal(session.next_token_logits(QUESTION), expected)
    finally:
        over.set()
        thread.join()


def test_an_engine_belongs_to_one_thread_and_says_so(model):
    engine = Engine(model)
    handle, session = (
        engine.add(HermesPolicy.paper(40), chunk_frames=4),
        Session(model, HermesPolicy.paper(40), chunk_frames=4, guidance_from_questions=False),
    )
    for watcher in (handle, session):
        watcher.observe(random_frames(9))
    answer = handle.ask(QUESTION, max_new_tokens=6)
    engine.step()
    calls: tuple[Callable[[], Any], ...] = (
        engine.step,
        engine.run,
        lambda: engine.add(HermesPolicy.paper(40)),
        lambda: handle.observe(random_frames(1, start=20)),
        lambda: handle.ask(QUESTION),
        lambda: handle.stats,
        handle.close,
        lambda: answer.text,
        lambda: list(answer),
        answer.close,
    )
    owner = threading.current_thread().name
    for call in calls:
        with pytest.raises(ThreadError, match=rf"here '{owner}'; 'stranger_0' called"):
            in_another_thread(call)
    assert answer.finish_reason is None
    assert answer.text == session.ask(QUESTION, max_new_tokens=6).text
    assert engine.streams == (handle,)
    engine.run()
    session.flush()
    logits = engine.executor.run(handle.stream.next_token_logits(QUESTION))
    assert torch.equal(logits, session.next_token_logits(QUESTION))


def test_an_engine_may_live_in_any_thread(model):
    def watch() -> str:
        engine = Engine(model)
        handle = engine.add(HermesPolicy.paper(40))
        handle.observe(random_frames(5))
        return handle.ask(QUESTION, max_new_tokens=3).text

    assert in_another_thread(watch) == watch()

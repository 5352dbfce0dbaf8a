"""An engine: many streams, each answered as if it were alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tests.checkpoints import TOKENS_PER_TEMPORAL_PATCH, random_frames

from hermes_stream import FullPolicy, HermesPolicy, Session, VideoError, WindowPolicy
from hermes_stream.errors import CapacityError
from hermes_stream.models import visual
from hermes_stream.policies import LiveVlmPolicy, RecentNPolicy, RekvPolicy
from hermes_stream.stream.capacity import plan_capacity, stream_bytes
from hermes_stream.stream.engine import Engine
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.queue_limits import QueueLimits
from hermes_stream.stream.work import EncodeRequest

QUESTIONS = ("what came first?", "what is on screen now?", "was there a circle?")
POLICIES = (
    HermesPolicy.paper(40),
    HermesPolicy.best(60),
    HermesPolicy(budget_tokens=50, guidance_forward="embeddings"),
    WindowPolicy(budget_tokens=45),
    LiveVlmPolicy(budget_tokens=60),
    RekvPolicy(budget_tokens=60),
    RecentNPolicy(budget_tokens=30),
)


def frames_of(index: int, count: int = 20):
    return [
        replace(frame, pts_seconds=frame.pts_seconds + index) for frame in random_frames(count, seed=index)
    ]


def alone(model, policy, index: int) -> list[list[int]]:
    """What a stream answers by itself: questions after 7 and 18 frames, the last one twice."""
    session, frames = Session(model, policy, chunk_frames=4), frames_of(index)
    given = []
    for first, end, questions in ((0, 7, QUESTIONS[:1]), (7, 18, QUESTIONS[1:])):
        session.observe(frames[first:end])
        for question in questions:
            answer = session.ask(question, max_new_tokens=5)
            assert list(answer)
            assert answer.token_ids[0] == session.next_token_logits(question).argmax()
            given.append(answer.token_ids)
    return given


def test_many_streams_answer_as_each_alone(model):
    engine, expected, given = Engine(model, step_tokens=100), [], []
    channels = [engine.add(policy, chunk_frames=4, guidance_from_questions=True) for policy in POLICIES]
    for index, (channel, policy) in enumerate(zip(channels, POLICIES, strict=True)):
        expected.append(alone(model, policy, index))
        channel.observe(frames_of(index)[:7])
        given.append([channel.ask(QUESTIONS[0], max_new_tokens=5)])
        channel.observe(frames_of(index)[7:18])
        given[-1] += [channel.ask(question, max_new_tokens=5) for question in QUESTIONS[1:]]
    engine.run()
    assert all(answer.is_done for answers in given for answer in answers)
    assert [[answer.token_ids for answer in answers] for answers in given] == expected


def test_options_and_pieces_are_those_of_a_session(model):
    engine, session = Engine(model), Session(model, HermesPolicy.paper(40))
    channel = engine.add(HermesPolicy.paper(40))
    options = ["a circle", "a square", "a star"]
    for watcher in (session, channel):
        watcher.observe(random_frames(9))
    assert channel.ask("which?", options).text == session.ask("which?", options).text
    answer = channel.ask(QUESTIONS[0], max_new_tokens=6)
    assert list(answer) == list(session.ask(QUESTIONS[0], max_new_tokens=6))
    assert 0 < answer.ttft_seconds <= answer.ttft_with_pending_seconds


def test_streams_share_forwards(model, monkeypatch):
    forwards = []
    plain = type(model.decoder).forward

    def counting(decoder, *args, **kwargs):
        forwards.append(kwargs["inputs_embeds"].shape[1])
        return plain(decoder, *args, **kwargs)

    engine = Engine(model)
    channels = [engine.add(HermesPolicy.paper(40), chunk_frames=4) for _ in range(5)]
    monkeypatch.setattr(type(model.decoder), "forward", counting)
    for index, channel in enumerate(channels):
        channel.observe(frames_of(index, 4))
    engine.run()
    assert forwards == [5 * 4 * TOKENS_PER_TEMPORAL_PATCH]
    forwards.clear()
    answers = [channel.ask(QUESTIONS[0], max_new_tokens=3) for channel in channels]
    engine.run()
    assert len(forwards) == max(len(answer.token_ids) for answer in answers)
    assert forwards[0] == 5 * (len(model.chat.question_ids(QUESTIONS[0])) + len(model.video_end))


def test_the_next_chunk_is_looked_at_while_one_is_prefilled(model, monkeypatch):
    served, serve = [], Executor.serve

    def noting(executor, requests):
        served.append([type(one).__name__ for one in requests])
        return serve(executor, requests)

    monkeypatch.setattr(Executor, "serve", noting)
    engine, session = Engine(model), Session(model, HermesPolicy.paper(40), chunk_frames=4)
    channel = engine.add(HermesPolicy.paper(40), chunk_frames=4)
    served.clear()
    channel.observe(frames_of(0, 12))
    engine.run()
    assert served[:3] == [
        ["EncodeRequest"],
        ["ForwardRequest", "EncodeRequest"],
        ["ForwardRequest", "EncodeRequest"],
    ]
    assert sum(one.count("EncodeRequest") for one in served) == 3
    session.observe(frames_of(0, 12))
    assert channel.ask(QUESTIONS[0]).text == session.ask(QUESTIONS[0]).text


def test_a_question_does_not_wait_behind_a_long_ingest(model):
    engine = Engine(
        model, step_tokens=4 * TOKENS_PER_TEMPORAL_PATCH, tokens_beside_questions=1, queue_frames=1000
    )
    busy, asked = (engine.add(WindowPolicy(budget_tokens=90), chunk_frames=4) for _ in range(2))
    asked.observe(frames_of(0, 3))
    busy.observe(frames_of(1, 400))
    engine.step()
    answer = asked.ask(QUESTIONS[0], max_new_tokens=1)
    steps = engine.num_steps
    assert list(answer)
    assert answer.finish_reason == "length"
    assert engine.num_steps - steps <= 3
    assert busy.stats.num_pending_frames > 300


def test_ingest_does_not_starve_behind_questions(model):
    engine = Engine(model, tokens_beside_questions=1, patience_steps=3)
    busy, asked = (engine.add(WindowPolicy(budget_tokens=90), chunk_frames=4) for _ in range(2))
    asked.observe(frames_of(0, 4))
    busy.observe(frames_of(1, 12))
    texts = {asked.ask(QUESTIONS[0], max_new_tokens=2).text for _ in range(30)}
    assert len(texts) == 1
    assert busy.stats.num_pending_frames == 0


def test_streams_take_turns(model):
    engine = Engine(model, step_tokens=4 * TOKENS_PER_TEMPORAL_PATCH, queue_frames=1000)
    channels = [engine.add(WindowPolicy(budget_tokens=90), chunk_frames=4) for _ in range(3)]
    for index, channel in enumerate(channels):
        channel.observe(frames_of(index, 80))
    for _ in range(30):
        engine.step()
    done = [80 - channel.stream.stats.num_pending_frames for channel in channels]
    assert max(done) - min(done) <= 4


def test_memory_admits_and_refuses_with_the_reason(model):
    fitted = plan_capacity(model, HermesPolicy.paper(40), chunk_frames=4, text_tokens=50)
    needed = stream_bytes(model, fitted) + (64 + 4) * model.max_frame_bytes
    engine = Engine(model, memory_bytes=2 * needed + 10)
    wish = {"chunk_frames": 4, "text_tokens": 50}
    channels = [engine.add(HermesPolicy.paper(40), **wish) for _ in range(2)]
    assert engine.used_bytes == 2 * needed
    with pytest.raises(CapacityError, match=rf"2 streams take {2 * needed} of .* one more takes {needed}"):
        engine.add(HermesPolicy.paper(40), **wish)
    with pytest.raises(CapacityError, match="FullPolicy has no budget"):
        engine.add(FullPolicy(), **wish)
    channels[0].close()
    channels[0].close()
    engine.add(HermesPolicy.paper(40), **wish)


@pytest.mark.parametrize(
    "policy", [HermesPolicy.paper(40), RekvPolicy(budget_tokens=60), RecentNPolicy(budget_tokens=9)]
)
def test_bytes_are_known_before_they_are_taken(model, policy):
    fitted = plan_capacity(model, policy, chunk_frames=3, text_tokens=40)
    assert (
        stream_bytes(model, fitted)
        == Session(model, policy, chunk_frames=3, text_tokens=40).stats.cache_bytes
    )


def test_an_answer_that_is_given_up_leaves_the_memory_as_it_was(model):
    engine, session = Engine(model), Session(model, HermesPolicy.paper(40), chunk_frames=4)
    channel = engine.add(HermesPolicy.paper(40), chunk_frames=4)
    for watcher in (session, channel):
        watcher.observe(frames_of(0, 9))
    running, waiting = (channel.ask(question, max_new_tokens=50) for question in QUESTIONS[:2])
    while len(running.token_ids) < 2:
        engine.step()
    running.close()
    waiting.close()
    assert (running.finish_reason, waiting.finish_reason) == ("abandoned", "abandoned")
    assert not engine.step()
    session.next_token_logits(QUESTIONS[1])  # folds in what waits, as a question does
    assert torch.equal(
        engine.executor.run(channel.stream.next_token_logits(QUESTIONS[2])),
        session.next_token_logits(QUESTIONS[2]),
    )


@pytest.mark.parametrize("part", ["encode", "decoder", "plan"])
def test_a_failure_is_told_and_loses_nothing(model, monkeypatch, part):
    engine, undisturbed = Engine(model), Session(model, HermesPolicy.paper(40), chunk_frames=4)
    channel = engine.add(HermesPolicy.paper(40), chunk_frames=4)
    undisturbed.observe(frames_of(0, 8))
    channel.observe(frames_of(0, 4))
    engine.run()
    target, name = {
        "encode": (type(model), "encode"),
        "decoder": (type(model.decoder), "forward"),
        "plan": (HermesPolicy, "plan"),
    }[part]

    def broken(*_, **__):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(target, name, broken)
        channel.observe(frames_of(0, 8)[4:])
        engine.run()
        assert channel.stream.stats.num_pending_frames == 4
        with pytest.raises(RuntimeError, match="out of memory"):
            channel.observe([])
        failed = channel.ask(QUESTIONS[0])
        engine.run()
        assert failed.finish_reason == "failed"
        with pytest.raises(RuntimeError, match="out of memory"):
            next(failed)
    with pytest.raises(RuntimeError, match="out of memory"):  # the engine had tried the chunk again
        channel.ask(QUESTIONS[0])
    assert channel.ask(QUESTIONS[0]).text == undisturbed.ask(QUESTIONS[0]).text


def test_too_many_frames_wait_or_push_out_the_oldest(model):
    engine = Engine(model, queue_frames=8)
    waits = engine.add(HermesPolicy.paper(40), chunk_frames=4)
    drops = engine.add(HermesPolicy.paper(40), chunk_frames=4, overflow="drop_oldest")
    drops.observe(frames_of(0, 20))
    assert (drops.stats.num_pending_frames, drops.num_dropped_frames, engine.num_steps) == (8, 12, 0)
    waits.observe(frames_of(1, 20))
    assert waits.stats.num_pending_frames <= 8
    engine.run()
    assert (waits.stats.num_frames, waits.num_dropped_frames) == (20, 0)
    assert drops.stats.num_frames == 8


def test_misuse_is_told(model):
    engine = Engine(model)
    channel = engine.add(HermesPolicy.paper(40))
    with pytest.raises(VideoError, match="no frame was observed"):
        channel.ask(QUESTIONS[0])
    with pytest.raises(ValueError, match="overflow must be one of wait, drop_oldest; got 'explode'"):
        engine.add(HermesPolicy.paper(40), overflow="explode")
    with pytest.raises(ValueError, match="step_tokens must be at least 1, got 0"):
        Engine(model, step_tokens=0)
    with pytest.raises(ValueError, match="memory_bytes"):
        Engine(model, memory_bytes=-1)
    channel.close()
    with pytest.raises(CapacityError, match="closed"):
        channel.observe(frames_of(0, 1))
    assert engine.streams == ()


def test_many_pictures_are_encoded_a_few_at_a_time(model, monkeypatch):
    counts, encode = [], type(model).encode

    def noting(self, pixels):
        counts.append(pixels.grid[0])
        return encode(self, pixels)

    monkeypatch.setattr(type(model), "encode", noting)
    frames = random_frames(7)
    pixels = model.prepare(frames)
    whole = Executor(model).serve([EncodeRequest.of(frames, model)])[0]
    monkeypatch.setattr(visual, "_ENCODED_VALUES", 3 * pixels.values[0].numel())
    parts = Executor(model).serve([EncodeRequest.of(frames, model)])[0]
    assert counts == [7, 3, 3, 1]
    torch.testing.assert_close(parts.tokens, whole.tokens, rtol=1e-5, atol=1e-5)
    assert parts.grid == whole.grid


LIMITS = QueueLimits(chunk_frames=2, num_frames=6, num_bytes=6 * 1728, seconds=10.0)


def test_limits_of_a_queue_leave_room_for_two_chunks(model):
    of = QueueLimits.of(model, 16, queue_frames=8)
    assert (of.num_frames, of.num_bytes) == (32, 48 * model.max_frame_bytes)
    assert QueueLimits.of(model, 4, queue_bytes=100, queue_seconds=0.5).num_bytes == 100
    for wrong in ({"queue_frames": 0}, {"queue_bytes": 0}, {"queue_seconds": 0.0}):
        with pytest.raises(ValueError, match="must be a positive number"):
            QueueLimits.of(model, 4, **wrong)
    frame = random_frames(1)[0]
    fitting = replace(LIMITS, num_bytes=2 * 2 * frame.image.nbytes)
    fitting.check(frame)
    with pytest.raises(ValueError, match="raise the engine's queue_bytes"):
        replace(fitting, num_bytes=fitting.num_bytes - 1).check(frame)


@pytest.mark.parametrize(
    ("num_waiting", "waiting_bytes", "seconds", "is_reached"),
    [
        (0, 0, 1e9, False),
        (5, 5 * 1728, 5.0, False),
        (5, 5 * 1728 + 1, 5.0, True),
        (6, 0, 6.0, True),
        (3, 0, 100.0, False),  # two chunks may always wait
        (4, 0, 10.0, False),
        (4, 0, 10.5, True),
    ],
)
def test_a_queue_is_full_by_frames_bytes_or_time(num_waiting, waiting_bytes, seconds, is_reached):
    waiting = random_frames(6)[:num_waiting]
    intake = SimpleNamespace(waiting=waiting, waiting_bytes=waiting_bytes)
    frame = replace(random_frames(1)[0], pts_seconds=seconds)
    assert LIMITS.are_reached(intake, frame) == is_reached

"""What one stream does cannot hurt another: faults at every place, pictures and times that nobody can use."""

from __future__ import annotations

import gc
import math
import random
import weakref
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch

from hermes_lab.stress.faults import PLACES, Fault, InjectedError, injected
from hermes_lab.stress.streams import Script, Trial, able_to_fail, alone, is_right, policies
from hermes_stream import Frame, HermesPolicy, Session, VideoError, load_model
from hermes_stream.policies import RecentNPolicy, RekvPolicy, StreamMemPolicy, WindowPolicy
from hermes_stream.stream.engine import Engine
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.memory import StreamMemory
from hermes_stream.stream.work import EncodeRequest, ForwardRequest

QUESTION = "what is on screen now?"
QUESTIONED = (WindowPolicy(budget_tokens=60), RecentNPolicy(budget_tokens=60))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Bits are compared: with several threads a product's sums depend on how many rows share it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["tiny", "tiny-qwen"])
def tiny(request):
    return load_model(request.param)


def frames_of(seed: int, count: int, *, start: float = 0.0, side: int = 64) -> list[Frame]:
    blocks = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    images = blocks.repeat(side // 4, axis=1).repeat(side // 4, axis=2)
    return [Frame(pts_seconds=start + k, image=image) for k, image in enumerate(images)]


@pytest.fixture(scope="module")
def trial(tiny) -> Trial:
    """Eight streams, one of each kind of memory, and what each does alone."""
    scripts = [Script.draw(seed, policy, 6) for seed, policy in enumerate(policies())]
    return Trial(model=tiny, scripts=scripts, expected=[alone(tiny, script) for script in scripts])


@pytest.fixture(scope="module")
def control(trial) -> float:
    """By how much rounding differs without a fault, at most; in a single run often not at all."""
    return max(trial.control(random.Random(number)) for number in range(6))


@pytest.mark.parametrize("times", [2, None])
@pytest.mark.parametrize("place", PLACES)
def test_a_failing_stream_leaves_all_others_as_they_are_alone(trial, control, place, times):
    rng = random.Random(f"{place} {times}")
    culprit = rng.choice(able_to_fail(trial.expected, place))
    found = trial.run(Fault(place, times), culprit, rng, control=control)
    assert is_right(found), found
    assert found["num_bitwise"] >= found["num_others"] - 1  # StreamMem's is right but for rounding
    assert found["num_told"] <= found["num_raised"]


@pytest.mark.parametrize("place", PLACES)
def test_what_fails_once_is_told_once_or_noticed_by_nobody(tiny, place):
    engine = Engine(tiny)
    culprit, other = (engine.add(HermesPolicy.paper(60), chunk_frames=4) for _ in range(2))
    fault, answers = Fault(place, 1), []
    with injected(fault, engine, culprit):
        for seed, handle in enumerate((culprit, other)):
            handle.observe(frames_of(seed, 20))
        engine.run()
        if place == "decode":
            answers = [handle.ask(QUESTION, max_new_tokens=3) for handle in (culprit, other)]
            engine.run()
    assert fault.num_raised == 1
    assert all(answer.text is not None for answer in answers)
    if place in ("prepare", "plan"):  # not part of a shared forward, which is served again apart
        with pytest.raises(InjectedError):
            culprit.observe([])
    culprit.observe([])
    for handle in (culprit, other):
        assert handle.ask(QUESTION).text is not None
        assert handle.stats.num_failed_frames == 0


@pytest.mark.parametrize(
    "policy", [WindowPolicy(budget_tokens=60), RecentNPolicy(budget_tokens=60)], ids=type
)
@pytest.mark.parametrize("place", ["prepare", "encode", "forward", "decode"])
def test_a_failed_question_raises_and_never_reads_as_empty(tiny, place, policy):
    engine = Engine(tiny)
    handle = engine.add(policy, chunk_frames=4)
    handle.observe(frames_of(0, 3))
    with injected(Fault(place), engine, handle):
        readings = (lambda one: one.text, str, list, next)
        for read in readings:
            try:
                answer = handle.ask(QUESTION)
            except VideoError:  # the frames were left out meanwhile
                break
            for _ in range(2):
                with pytest.raises((InjectedError, VideoError)):
                    read(answer)
            assert answer.finish_reason == "failed"
            assert answer.failure is not None
    handle.observe(frames_of(1, 3, start=10))
    assert handle.ask(QUESTION).text is not None


def test_an_answer_that_was_interrupted_does_not_end_as_if_it_were_whole(tiny, monkeypatch):
    session = Session(tiny, WindowPolicy(budget_tokens=60))
    session.observe(frames_of(0, 3))
    answer = session.ask(QUESTION, max_new_tokens=30)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Executor, "_forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            assert answer.text
    if answer.finish_reason is None:
        with pytest.raises(RuntimeError, match="interrupted; ask again"):
            assert answer.text
    assert session.ask(QUESTION).text is not None


def test_one_bad_frame_is_left_out_and_the_rest_stays_in_order(tiny, monkeypatch):
    size = tiny.card.frames_per_temporal_patch
    frames = frames_of(0, 4 * size)
    bad = frames[size]
    prepare = type(tiny).prepare

    def picky(model, shown):
        if any(frame.pts_seconds == bad.pts_seconds for frame in shown):
            raise RuntimeError("this picture cannot be read")
        return prepare(model, shown)

    monkeypatch.setattr(type(tiny), "prepare", picky)
    engine = Engine(tiny)
    handle = engine.add(WindowPolicy(budget_tokens=90), chunk_frames=4 * size)
    handle.observe(frames)
    engine.run()
    with pytest.raises(RuntimeError, match="cannot be read"):
        handle.observe([])
    handle.observe(frames_of(1, size, start=100))
    engine.run()
    assert (handle.stats.num_failed_frames, handle.stats.num_pending_frames) == (size, size)
    monkeypatch.undo()
    session = Session(tiny, WindowPolicy(budget_tokens=90), chunk_frames=size)
    session.observe(frames[:size] + frames[2 * size :])
    state, expected = handle.stream.cache.state(), session.cache.state()
    torch.testing.assert_close(state.pts_seconds, expected.pts_seconds)
    assert torch.equal(state.temporal_patch_ids, expected.temporal_patch_ids)


def test_a_session_leaves_a_bad_frame_out_too(tiny, monkeypatch):
    frames, prepare = frames_of(0, 20), type(tiny).prepare

    def picky(model, shown):
        if frames[5].pts_seconds in [frame.pts_seconds for frame in shown]:
            raise RuntimeError("this picture cannot be read")
        return prepare(model, shown)

    monkeypatch.setattr(type(tiny), "prepare", picky)
    session, num_told = Session(tiny, HermesPolicy.paper(60), chunk_frames=4), 0
    for frame in frames:
        try:
            session.observe(frame)
        except RuntimeError:
            num_told += 1
    size = tiny.card.frames_per_temporal_patch
    assert num_told == 1
    assert (session.stats.num_frames, session.stats.num_failed_frames) == (20 - size, size)
    assert session.ask(QUESTION).text is not None


def step_on(engine: Engine) -> None:
    """Go on with the one stream of an engine, whatever interrupts it."""
    while engine.streams[0].is_ready:
        with suppress(KeyboardInterrupt):
            engine.step()


def check_same_memory(handle, session: Session) -> None:
    for layer in range(session.model.layout.num_layers):
        assert torch.equal(handle.stream.cache.keys(layer), session.cache.keys(layer))
        assert torch.equal(handle.stream.cache.values(layer), session.cache.values(layer))


def test_an_interrupted_step_is_done_again(tiny, monkeypatch):
    """As if nothing had happened: what was read of attention does not count twice."""
    engine, policy = Engine(tiny), StreamMemPolicy(budget_tokens=60)
    handle, session = engine.add(policy, chunk_frames=4), Session(tiny, policy, chunk_frames=4)
    plain, count = Executor._forward, 0

    def interrupted(executor, requests):
        nonlocal count
        result, count = plain(executor, requests), count + 1
        if count % 2:
            raise KeyboardInterrupt
        return result

    for watcher in (handle, session):
        watcher.observe(frames_of(0, 40))
    with monkeypatch.context() as patched:
        patched.setattr(Executor, "_forward", interrupted)
        step_on(engine)
    assert count > 10
    check_same_memory(handle, session)


@pytest.mark.parametrize("name", ["_prefill", "_plan"])
def test_work_that_was_interrupted_asks_for_nothing_more(tiny, monkeypatch, name):
    """Ctrl-C comes between two forwards: to serve the first again would write over what is remembered."""
    engine, policy = Engine(tiny), HermesPolicy.paper(60)
    handle, session = engine.add(policy, chunk_frames=4), Session(tiny, policy, chunk_frames=4)
    plain, count = getattr(StreamMemory, name), 0

    def interrupted(*args):
        nonlocal count
        count += 1
        if count in (1, 4):
            raise KeyboardInterrupt
        return plain(*args)

    for watcher in (handle, session):
        watcher.observe(frames_of(0, 40))
    with monkeypatch.context() as patched:
        patched.setattr(StreamMemory, name, interrupted)
        step_on(engine)
    assert count > 5
    check_same_memory(handle, session)


@pytest.mark.parametrize("is_abandoned", [False, True])
def test_frames_that_are_in_the_memory_are_not_folded_in_twice(tiny, monkeypatch, is_abandoned):
    """The chunk fails twice, is folded in apart, and that ends half-way: by want of memory, or by close."""
    size = tiny.card.frames_per_temporal_patch
    frames, calls = frames_of(0, 4 * size), []
    prepare = type(tiny).prepare

    def failing(model, shown):
        calls.append(len(shown))
        if len(shown) > size:
            raise RuntimeError("together they are too many")
        if len(calls) == 5 and not is_abandoned:
            raise MemoryError
        return prepare(model, shown)

    engine = Engine(tiny)
    handle = engine.add(WindowPolicy(budget_tokens=90), chunk_frames=4 * size)
    monkeypatch.setattr(type(tiny), "prepare", failing)
    handle.observe(frames)
    engine.run()
    with pytest.raises(RuntimeError, match="too many"):
        handle.observe([])
    if is_abandoned:
        answer = handle.ask(QUESTION)
        while handle.stats.num_frames - handle.stats.num_pending_frames < 2 * size or calls[-1] != size:
            engine.step()
        for _ in range(3):
            engine.step()
        answer.close()
    else:
        engine.run()
        with pytest.raises(MemoryError):
            handle.observe([])
    monkeypatch.undo()
    assert handle.ask(QUESTION).text is not None
    patches = handle.stream.cache.state().temporal_patch_ids[0].unique_consecutive().tolist()
    assert patches == [0, 1, 2, 3]
    stats = handle.stats
    assert (stats.num_frames, stats.num_pending_frames, stats.num_failed_frames) == (4 * size, 0, 0)


def test_a_picture_that_the_model_cannot_read_is_refused_where_it_comes():
    tiny = load_model("tiny-qwen")
    engine = Engine(tiny)
    bad, good = (engine.add(HermesPolicy.paper(60), chunk_frames=4) for _ in range(2))
    session = Session(tiny, HermesPolicy.paper(60), chunk_frames=4, guidance_from_questions=False)
    long = Frame(pts_seconds=2.5, image=np.zeros((16, 8192, 3), np.uint8))
    for watcher, seed in ((bad, 0), (good, 1), (session, 1)):
        watcher.observe(frames_of(seed, 3))
    with pytest.raises(ValueError, match="16 x 8192"):
        bad.observe(long)
    for watcher, seed in ((bad, 0), (good, 1), (session, 1)):
        watcher.observe(frames_of(seed, 3, start=3))
    answers = [watcher.ask(QUESTION, max_new_tokens=5) for watcher in (good, session)]
    assert bad.ask(QUESTION).text is not None
    assert answers[0].text == answers[1].text
    assert bad.stats.num_frames == 6


@pytest.mark.parametrize("seconds", [1e18, math.inf, -math.inf, math.nan, None, "3", 10**400, 1e7 + 1, True])
def test_a_time_that_cannot_be_is_refused_and_the_stream_goes_on(tiny, seconds):
    handle, session = Engine(tiny).add(HermesPolicy.paper(60)), Session(tiny, HermesPolicy.paper(60))
    for watcher in (handle, session):
        first, second = frames_of(0, 2)
        watcher.observe(first)
        with pytest.raises(ValueError, match="pts_seconds"):
            watcher.observe(replace(second, pts_seconds=seconds))
        watcher.observe(second)
        assert watcher.ask(QUESTION).text is not None
        assert (watcher.stats.num_frames, watcher.stats.num_gaps) == (2, 0)


@pytest.mark.parametrize("pause", [1.1e7, 1.7e9])
def test_a_stream_goes_on_after_a_pause_of_years(tiny, pause):
    session = Session(tiny, HermesPolicy.paper(60), chunk_frames=4)
    session.observe(frames_of(0, 8))
    slip, *others = frames_of(1, 9, start=pause)
    with pytest.raises(ValueError, match="give times in seconds; where the next frame goes on"):
        session.observe(slip)
    session.observe(others)
    assert (session.stats.num_frames, session.stats.num_gaps) == (16, 1)
    assert session.ask(QUESTION).text is not None


def test_times_in_another_unit_are_all_refused(tiny):
    session = Session(tiny, HermesPolicy.paper(60))
    first, *others = frames_of(0, 5)
    session.observe(first)
    for number, frame in enumerate(others, start=1):
        with pytest.raises(ValueError, match="give times in seconds"):
            session.observe(replace(frame, pts_seconds=number * 33_333_333.0))


@pytest.mark.parametrize("side", [28, 48, 56])
def test_a_buffer_that_the_next_picture_overwrites_is_not_read_later(tiny, side):
    session, other = (Session(tiny, HermesPolicy.paper(60), chunk_frames=4) for _ in range(2))
    buffer = np.empty((side, side, 3), np.uint8)
    for frame in frames_of(0, 12, side=side):
        session.observe(frame)
        buffer[:] = frame.image
        other.observe(replace(frame, image=buffer))
    assert torch.equal(session.next_token_logits(QUESTION), other.next_token_logits(QUESTION))


def test_gaps_are_counted(tiny):
    session = Session(tiny, HermesPolicy.paper(60), chunk_frames=4)
    for number in range(6):
        session.observe(frames_of(number, 3, start=number * 1e6))
    assert session.stats.num_gaps == 5
    assert session.ask(QUESTION).text is not None


class Noted:
    """Notes what each step serves."""

    def __init__(self, engine: Engine, monkeypatch) -> None:
        self.steps: list[tuple[int, int]] = []
        serve = engine.executor.serve

        def noting(requests):
            frames = [one.num_patches for one in requests if isinstance(one, EncodeRequest)]
            speaks = [one for one in requests if isinstance(one, ForwardRequest) and one.wants_logits]
            self.steps.append((sum(frames), len(speaks)))
            return serve(requests)

        monkeypatch.setattr(engine.executor, "serve", noting)


@pytest.mark.parametrize("policy", [HermesPolicy.paper(200), RecentNPolicy(budget_tokens=200)], ids=type)
def test_many_questions_with_full_chunks_do_not_encode_them_all_at_once(tiny, monkeypatch, policy):
    engine = Engine(tiny, step_tokens=16 * tiny.num_tokens(64, 64))
    busy = [engine.add(policy, chunk_frames=8) for _ in range(64)]
    ready = [engine.add(WindowPolicy(budget_tokens=60), chunk_frames=8) for _ in range(4)]
    for seed, handle in enumerate(ready):
        handle.observe(frames_of(seed, 8))
    engine.run()
    for seed, handle in enumerate(busy):
        handle.observe(frames_of(seed, 8))
    noted = Noted(engine, monkeypatch)
    answers = [handle.ask(QUESTION, max_new_tokens=2) for handle in busy]
    quick = [handle.ask(QUESTION, max_new_tokens=2) for handle in ready]
    engine.step()
    assert all(answer.has_begun for answer in quick)
    assert noted.steps[0][1] == len(quick)
    engine.run()
    assert all(answer.text is not None for answer in answers)
    assert 0 < max(num_patches for num_patches, _ in noted.steps) <= 16


def test_what_is_encoded_ahead_is_bounded_too(tiny, monkeypatch):
    size = tiny.card.frames_per_temporal_patch
    engine = Engine(tiny, step_tokens=8 * tiny.num_tokens(64, 64))
    handles = [engine.add(HermesPolicy.paper(60), chunk_frames=4 * size) for _ in range(16)]
    noted = Noted(engine, monkeypatch)
    for seed, handle in enumerate(handles):
        handle.observe(frames_of(seed, 12 * size))
    engine.run()
    assert max(num_patches for num_patches, _ in noted.steps) <= 8 + 4 + 8 + 4
    assert all(handle.stats.num_pending_frames == 0 for handle in handles)


def test_run_goes_on_where_work_asks_for_nothing(tiny):
    engine = Engine(tiny)
    handle = engine.add(RecentNPolicy(budget_tokens=60), chunk_frames=4)
    handle.observe(frames_of(0, 21))
    engine.run()
    assert handle.stats.num_pending_frames == 1


@pytest.mark.parametrize("overflow", ["wait", "drop_oldest"])
def test_waiting_frames_are_bounded_in_bytes(tiny, overflow):
    frames = frames_of(0, 30)
    each = frames[0].image.nbytes
    engine = Engine(tiny, queue_bytes=10 * each)
    handle = engine.add(HermesPolicy.paper(60), chunk_frames=4, overflow=overflow)
    for frame in frames:
        handle.observe(frame)
        assert handle.stats.waiting_bytes <= 10 * each
    engine.run()
    assert handle.num_dropped_frames == (20 if overflow == "drop_oldest" else 0)
    assert handle.stats.num_frames == 30 - handle.num_dropped_frames
    assert handle.stats.waiting_bytes == handle.stats.num_pending_frames * each


def test_large_pictures_wait_at_the_size_that_the_model_sees(tiny, monkeypatch):
    """A minute of 1080p would be 398 MB; what is read of it is the same."""
    images = np.random.default_rng(0).integers(0, 256, (3, 1080, 1920, 3), dtype=np.uint8)
    frames = [Frame(pts_seconds=float(k), image=images[k % 3]) for k in range(64)]
    handle = Engine(tiny).add(HermesPolicy.paper(60))
    handle.observe(frames)
    assert handle.stats.num_pending_frames == 64
    assert handle.stats.waiting_bytes <= 64 * tiny.max_frame_bytes < 2.5e6
    logits = []
    for shrink in (type(tiny).shrink, lambda _, frame: frame):
        monkeypatch.setattr(type(tiny), "shrink", shrink)
        session = Session(tiny, HermesPolicy.paper(60), chunk_frames=4)
        session.observe(frames[:10])
        logits.append(session.next_token_logits(QUESTION))
    assert torch.equal(*logits)


@pytest.mark.parametrize("overflow", ["wait", "drop_oldest"])
def test_waiting_frames_are_bounded_in_seconds(tiny, overflow):
    engine = Engine(tiny, queue_seconds=10)
    handle = engine.add(HermesPolicy.paper(60), chunk_frames=4, overflow=overflow)
    for frame in frames_of(0, 30):
        handle.observe(frame)
        waiting = handle.stream.intake.waiting
        assert waiting[-1].pts_seconds - waiting[0].pts_seconds <= 10
    engine.run()
    assert handle.num_dropped_frames == (19 if overflow == "drop_oldest" else 0)


def test_slow_streams_may_always_wait_for_their_chunk(tiny):
    engine = Engine(tiny, queue_seconds=0.1)
    handle = engine.add(HermesPolicy.paper(60), chunk_frames=4, overflow="drop_oldest")
    for frame in frames_of(0, 20):
        handle.observe(frame)
        engine.run()
    assert (handle.num_dropped_frames, handle.stats.num_frames) == (0, 20)


def test_frames_of_which_two_chunks_may_not_wait_are_refused(tiny):
    engine = Engine(tiny, queue_bytes=8 * 3 * 64 * 64 - 1)
    handle = engine.add(HermesPolicy.paper(60), chunk_frames=4)
    with pytest.raises(ValueError, match=r"64 x 64 pixels take 98304 bytes, and 98303 may wait"):
        handle.observe(frames_of(0, 1))
    handle.observe(frames_of(0, 8, side=32))
    assert handle.stats.num_frames == 8


@pytest.mark.parametrize("limits", [{"queue_frames": 0}, {"queue_bytes": 0}, {"queue_seconds": 0.0}])
def test_limits_are_positive(tiny, limits):
    with pytest.raises(ValueError, match=f"{next(iter(limits))} must be a positive number"):
        Engine(tiny, **limits)


def test_admission_counts_what_may_wait_on_a_cpu(tiny):
    engine = Engine(tiny)
    handle = engine.add(HermesPolicy.paper(60))
    assert handle.limits.num_bytes == (64 + handle.stream.chunk_frames) * tiny.max_frame_bytes
    assert engine.used_bytes == handle.stats.cache_bytes + handle.limits.num_bytes


@pytest.mark.parametrize("steers", [False, True])
def test_questions_steer_the_memory_only_where_they_may(tiny, steers):
    """By default one in a session, which is one person's, and none in a stream of an engine."""
    asked, engine_says = [], []
    for question in ("what came first?", "what is on screen now?"):
        session = Session(tiny, HermesPolicy.paper(40), chunk_frames=4, guidance_from_questions=steers)
        handle = Engine(tiny).add(HermesPolicy.paper(40), chunk_frames=4)
        for watcher, found in ((session, asked), (handle, engine_says)):
            watcher.observe(frames_of(0, 8))
            assert watcher.ask(question).text is not None
            memory = watcher._stream.memory if watcher is session else watcher.stream.memory
            found.append(memory.guidance.last_conversation)
    assert engine_says == [None, None]
    assert (asked == [None, None]) is not steers


def test_rekv_is_read_again_where_a_shared_forward_failed(tiny):
    """What a question retrieves is laid out again, and the same."""
    engine = Engine(tiny)
    policy = RekvPolicy(budget_tokens=60)
    culprit, other = engine.add(WindowPolicy(budget_tokens=60)), engine.add(policy, chunk_frames=4)
    session = Session(tiny, policy, chunk_frames=4)
    for watcher in (culprit, other, session):
        watcher.observe(frames_of(2, 40))
    engine.run()
    with injected(Fault("decode"), engine, culprit):
        culprit.ask(QUESTION)
        answer = other.ask(QUESTION, max_new_tokens=8)
        engine.run()
    expected = session.ask(QUESTION, max_new_tokens=8)
    assert (answer.text, answer.token_ids) == (expected.text, expected.token_ids)


@pytest.fixture
def no_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("policy", [HermesPolicy.paper(60), *QUESTIONED], ids=type)
@pytest.mark.usefixtures("no_collection")
def test_a_memory_goes_when_its_stream_goes(tiny, policy):
    """At once, on a GPU too: not when Python next looks for circles."""
    session, handle = Session(tiny, policy, chunk_frames=4), Engine(tiny).add(policy, chunk_frames=4)
    caches, answers = [], []
    for watcher, stream in ((session, session._stream), (handle, handle.stream)):
        watcher.observe(frames_of(0, 10))
        answers += [watcher.ask(QUESTION, max_new_tokens=3), watcher.ask(QUESTION, max_new_tokens=3)]
        assert all(answer.text is not None for answer in answers[:-1])
        answers[-1].close()
        caches.append(weakref.ref(stream.cache))
        watcher.close()
    del session, handle, watcher, stream
    assert [cache() for cache in caches] == [None, None]
    assert [answer.finish_reason for answer in answers].count("abandoned") == 2

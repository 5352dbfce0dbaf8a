"""Policies watch in lockstep as each would alone; the vision tower encodes once."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.lab.episodes import episode, question
from tests.lab.watchers import Pictures, grey, told

from hermes_lab.datasets.world import as_episode
from hermes_lab.evaluation import EvaluatedPolicy, SessionWatcher, Viewing, evaluate, run_episode
from hermes_lab.evaluation.pool import gpu_of, watch_in_pool
from hermes_lab.evaluation.shared_encoder import SharedEncoder
from hermes_stream import Frame, FullPolicy, HermesPolicy, Session, WindowPolicy, load_model
from hermes_stream.errors import VideoError, WorkerError
from hermes_stream.policies import RecentNPolicy
from hermes_stream.synthetic.planning import plan_questions
from hermes_stream.synthetic.world import generate_world

SECONDS = 14


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny", device="cpu")


@dataclass(frozen=True)
class Play:
    """Opens stories by their seed."""

    def __call__(self, one):
        if one.video == "broken":
            raise VideoError("no video")
        return told(generate_world(int(one.video), SECONDS))


@dataclass(frozen=True)
class Blank:
    """Loads nothing, in whichever program: enough where no policy watches."""

    def __call__(self):
        return SimpleNamespace(family="none", has_dynamic_resolution=False)


def without_policies(episodes, how):
    """Let two programs play videos to nobody."""
    tasks = [(one, ()) for one in episodes]
    return watch_in_pool(tasks, how, num_workers=2, on_progress=lambda _: None)


def story(seed, num_questions=8):
    world = generate_world(seed, SECONDS)
    return as_episode(world, plan_questions(world, num_questions=num_questions, seed=seed), video=str(seed))


def policies():
    return [
        EvaluatedPolicy(name="hermes", policy=HermesPolicy(budget_tokens=40)),
        EvaluatedPolicy(name="recent_n", policy=RecentNPolicy(budget_tokens=40)),
        EvaluatedPolicy(name="full", policy=FullPolicy()),
    ]


def in_fours(model, policy):
    return Session(model, policy, chunk_frames=4)


def viewing(model, **options):
    return Viewing(load_model=lambda: model, open_source=Play(), open_session=in_fours, **options)


def answers(predictions):
    return [
        (one.question.question_id, one.reply.text, one.reply.option_index, one.is_right)
        for one in predictions
    ]


@pytest.mark.parametrize("short_answers", [False, True])
def test_each_answers_as_if_it_were_alone(tiny, short_answers):
    one = story(3)
    (watched,) = evaluate([one], policies(), viewing(tiny, short_answers=short_answers))
    assert watched.failure is watched.damage is None
    for evaluated, run in zip(policies(), watched.runs, strict=True):
        session = Session(tiny, evaluated.policy, chunk_frames=4)
        alone = run_episode(one, Play()(one), SessionWatcher(session, short_answers=short_answers))
        assert answers(alone) == answers(run.predictions)
        stats, last = session.stats, run.predictions[-1].reply
        assert (run.key.policy, run.key.seed, run.skipped) == (evaluated.name, None, None)
        assert (last.num_frames, last.cache_bytes) == (stats.num_frames, stats.cache_bytes)
        assert last.num_visual_tokens_seen == 9 * last.num_frames
        assert last.num_visual_tokens_kept <= (evaluated.policy.budget_tokens or 10**9)
        times = [prediction.took_seconds for prediction in run.predictions]
        assert 0 < times[0] <= times[-1]
    hermes, recent, _ = (run.predictions[-1].reply for run in watched.runs)
    assert recent.host_bytes > 0 == hermes.host_bytes


def test_the_vision_tower_encodes_once(tiny):
    encoder = SharedEncoder(tiny)
    encoded = []

    class FrameEncoder:
        def prepare(self, frames):
            return tiny.prepare(frames)

        def encode_in_parts(self, pixels):
            encoded.append(pixels.grid[0])
            return tiny.encode_in_parts(pixels)

    encoder.unshared = FrameEncoder()
    frames = list(generate_world(0, 6).frames(1))
    first = encoder.encode_in_parts(encoder.prepare(frames[:4]))
    assert encoder.encode_in_parts(encoder.prepare(list(frames[:4]))) is first
    assert encoder.encode_in_parts(encoder.prepare(frames[:3])) is not first
    assert encoder.encode_in_parts(encoder.prepare(frames[1:4])) is not first
    assert encoded == [4, 3, 3]
    assert encoder.encode_seconds > 0
    assert (encoder.family, encoder.card, encoder.layout) == (tiny.family, tiny.card, tiny.layout)


def test_large_frames_are_shrunk_once_and_encoded_once(tiny, monkeypatch):
    encoder, encoded = SharedEncoder(tiny), []
    encode = type(tiny).encode

    def counting(model, pixels):
        encoded.append(pixels.grid[0])
        return encode(model, pixels)

    monkeypatch.setattr(type(tiny), "encode", counting)
    sessions = [Session(encoder, WindowPolicy(budget_tokens=40), chunk_frames=2) for _ in range(3)]
    for number in range(4):
        frame = Frame(pts_seconds=float(number), image=np.full((300, 400, 3), number, np.uint8))
        for session in sessions:
            session.observe(frame)
    assert encoded == [2, 2]


def test_runs_that_are_done_are_not_made_again(tiny):
    one = story(4)
    (first,) = evaluate([one], policies()[:1], viewing(tiny))
    done = {run.key: run for run in first.runs}
    (second,) = evaluate([one], policies(), viewing(tiny), done=done)
    assert [run.key.policy for run in second.runs] == ["recent_n", "full"]
    done |= {run.key: run for run in second.runs}
    assert list(evaluate([one], policies(), viewing(None), done=done)) == []


def test_what_does_not_fit_is_skipped_and_the_others_go_on(tiny):
    room = tiny.layout.max_positions
    frames = [*generate_world(0, room // 9 + 20).frames(1)]
    asked = episode(question(at=3.0, name="early"), question(at=room / 9 + 15, name="late"))
    own = Viewing(load_model=lambda: tiny, open_source=lambda _: Pictures(frames), open_session=Session)
    many = [
        EvaluatedPolicy(name="full", policy=FullPolicy()),
        EvaluatedPolicy(name="window", policy=WindowPolicy(budget_tokens=18)),
        EvaluatedPolicy(name="wide", policy=WindowPolicy(budget_tokens=5000)),
        EvaluatedPolicy(name="no frame", policy=RecentNPolicy(budget_tokens=5)),
    ]
    (watched,) = evaluate([asked], many, own)
    full, window, wide, none = watched.runs
    assert "positions" in full.skipped
    assert full.predictions == ()
    assert (window.skipped, len(window.predictions)) == (None, 2)
    assert "positions hold a budget of" in wide.skipped
    assert "holds no whole frame" in none.skipped


def test_a_broken_video_is_told_and_others_are_watched(tiny):
    told_progress = []
    given = list(
        evaluate(
            [episode(question(), video="broken"), story(5), episode(video="6")],
            policies()[:1],
            viewing(tiny),
            on_progress=told_progress.append,
        )
    )
    assert [(one.episode.video, one.failure, len(one.runs)) for one in given] == [
        ("broken", "no video", 0),
        ("5", None, 1),
    ]
    assert told_progress == sorted(told_progress)
    assert told_progress[-1] == 2


ERRORS = {
    "values": ValueError("10 x 4000\npixels"),
    "memory": MemoryError(),
    "torch": torch.OutOfMemoryError("no room"),
    "system": OSError("no disk"),
    "nothing": AssertionError(),
    "stop": StopIteration("end"),
    "deep": RecursionError("too deep"),
}


@dataclass(frozen=True)
class Trouble:
    """Opens stories by their seed; other videos break in a way of their own, before or while they play."""

    def __call__(self, one):
        name = one.video.removeprefix("late ")
        if name not in ERRORS:
            return Play()(one)
        if name == one.video:
            raise ERRORS[name]
        return Pictures(Breaking(name))


class Breaking(list):
    """Frames of which the second cannot be had."""

    def __init__(self, name):
        super().__init__([grey(0), grey(1)])
        self.name = name

    def __iter__(self):
        yield self[0]
        raise ERRORS[self.name]


BROKEN = ["3", *ERRORS, *(f"late {name}" for name in ERRORS), "4"]


def broken_videos():
    return [story(int(name), 2) if name.isdecimal() else episode(question(), video=name) for name in BROKEN]


def check_what_is_told(watched):
    given = {one.episode.video: one for one in watched}
    assert set(given) == set(BROKEN)
    assert [given[name].failure for name in ("3", "4")] == [None, None]
    assert given["values"].failure == given["late values"].failure == "ValueError: 10 x 4000 pixels"
    assert "--budget-tokens" in given["memory"].failure
    assert given["torch"].failure == given["memory"].failure
    assert given["nothing"].failure == "AssertionError: no reason is given"
    assert all(given[name].failure and not given[name].runs for name in BROKEN[1:-1])


def test_whatever_is_wrong_with_one_video_is_told_and_the_others_are_watched(tiny):
    how = Viewing(load_model=lambda: tiny, open_source=Trouble(), open_session=in_fours)
    check_what_is_told(evaluate(broken_videos(), policies()[:1], how))


@dataclass(frozen=True)
class Crash(Trouble):
    """Ends its program as a crash would, once a file is there."""

    sign: Path

    def __call__(self, one):
        if one.video != "crash":
            return super().__call__(one)
        while not self.sign.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.long
def test_a_program_that_is_lost_is_told_and_what_others_told_is_kept(tmp_path):
    episodes = [episode(question(), video="crash"), *broken_videos()]
    how = Viewing(load_model=Blank(), open_source=Crash(tmp_path / "sign"), open_session=in_fours)
    watched = without_policies(episodes, how)
    check_what_is_told(next(watched) for _ in BROKEN)
    (tmp_path / "sign").touch()
    words = "one of 2 programs was ended by SIGSEGV; what was watched until then is kept: start again"
    with pytest.raises(WorkerError, match=words):
        next(watched)
    assert not active_children()


def test_an_interrupt_is_no_error_of_a_video(tiny):
    def open_source(_):
        raise KeyboardInterrupt

    how = Viewing(load_model=lambda: tiny, open_source=open_source, open_session=in_fours)
    with pytest.raises(KeyboardInterrupt):
        list(evaluate([story(3)], policies()[:1], how))


@pytest.mark.long
def test_programs_end_with_whoever_reads_their_results():
    episodes = [story(seed, 2) for seed in range(3, 7)]
    how = Viewing(load_model=Blank(), open_source=Play(), open_session=in_fours)
    with closing(without_policies(episodes, how)) as watched:
        next(watched)
        assert active_children()
    assert not active_children()


def test_programs_take_turns_at_the_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5")
    assert [gpu_of(number) for number in range(3)] == ["2", "GPU-5", "2"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert gpu_of(0) is None

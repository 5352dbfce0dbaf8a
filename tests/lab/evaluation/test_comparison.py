"""Contestants watch in lockstep as each would alone; the vision tower looks once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.lab.episodes import episode, question
from tests.lab.watchers import Pictures, told

from hermes_lab.datasets.world import as_episode
from hermes_lab.evaluation import SessionWatcher
from hermes_lab.evaluation.comparison import Contestant, Watching, compare
from hermes_lab.evaluation.runner import run_episode
from hermes_lab.evaluation.shared_encoder import SharedEyes
from hermes_stream import FullPolicy, HermesPolicy, Session, WindowPolicy, load_model
from hermes_stream.errors import VideoError
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
class Load:
    """Loads the embedded model in whichever program."""

    def __call__(self):
        return load_model("tiny", device="cpu")


def story(seed, num_questions=8):
    world = generate_world(seed, SECONDS)
    return as_episode(world, plan_questions(world, num_questions=num_questions, seed=seed), video=str(seed))


def contestants():
    return [
        Contestant(name="hermes", policy=HermesPolicy(budget_tokens=40)),
        Contestant(name="recent_n", policy=RecentNPolicy(budget_tokens=40)),
        Contestant(name="full", policy=FullPolicy()),
    ]


def watching(model, **options):
    return Watching(load_model=lambda: model, open_source=Play(), chunk_frames=4, **options)


def answers(run):
    return [(one.question_id, one.answer, one.option_index, one.is_right) for one in run.given]


@pytest.mark.parametrize("short_answers", [False, True])
def test_each_answers_as_if_it_were_alone(tiny, short_answers):
    one = story(3)
    (watched,) = compare([one], contestants(), watching(tiny, short_answers=short_answers))
    assert watched.failure is watched.damage is None
    for contestant, run in zip(contestants(), watched.runs, strict=True):
        session = Session(tiny, contestant.policy, chunk_frames=4)
        alone = list(run_episode(one, Play()(one), SessionWatcher(session, short_answers=short_answers)))
        assert [
            (own.question.question_id, own.reply.text, own.reply.option_index, own.is_right) for own in alone
        ] == answers(run)
        stats = session.stats
        assert (run.policy, run.seed, run.skipped) == (contestant.name, None, None)
        assert (run.num_frames, run.cache_bytes) == (stats.num_frames, stats.cache_bytes)
        assert run.num_visual_tokens_seen == 9 * run.num_frames
        assert run.num_visual_tokens_kept <= (contestant.policy.budget_tokens or 10**9)
    assert watched.runs[1].host_bytes > 0 == watched.runs[0].host_bytes


def test_the_vision_tower_looks_once(tiny):
    eyes = SharedEyes(tiny)
    looked = []

    class FrameEncoder:
        def prepare(self, frames):
            return tiny.prepare(frames)

        def encode(self, pixels):
            looked.append(pixels.grid[0])
            return tiny.encode(pixels)

    eyes.unshared = FrameEncoder()
    frames = list(generate_world(0, 6).frames(1))
    first = eyes.encode(eyes.prepare(frames[:4]))
    assert eyes.encode(eyes.prepare(list(frames[:4]))) is first
    assert eyes.encode(eyes.prepare(frames[:3])) is not first
    assert eyes.encode(eyes.prepare(frames[1:4])) is not first
    assert looked == [4, 3, 3]
    assert eyes.encode_seconds > 0
    assert (eyes.family, eyes.card, eyes.layout) == (tiny.family, tiny.card, tiny.layout)


def test_runs_that_are_done_are_not_made_again(tiny):
    one = story(4)
    (first,) = compare([one], contestants()[:1], watching(tiny))
    done = {run.key: run for run in first.runs}
    (second,) = compare([one], contestants(), watching(tiny), done=done)
    assert [run.policy for run in second.runs] == ["recent_n", "full"]
    done |= {run.key: run for run in second.runs}
    assert list(compare([one], contestants(), watching(None), done=done)) == []


def test_what_does_not_fit_is_skipped_and_the_others_go_on(tiny):
    room = tiny.layout.max_positions
    frames = [*generate_world(0, room // 9 + 20).frames(1)]
    asked = episode(question(at=3.0, name="early"), question(at=room / 9 + 15, name="late"))
    own = Watching(load_model=lambda: tiny, open_source=lambda _: Pictures(frames))
    many = [
        Contestant(name="full", policy=FullPolicy()),
        Contestant(name="window", policy=WindowPolicy(budget_tokens=18)),
        Contestant(name="wide", policy=WindowPolicy(budget_tokens=5000)),
        Contestant(name="no frame", policy=RecentNPolicy(budget_tokens=5)),
    ]
    (watched,) = compare([asked], many, own)
    full, window, wide, none = watched.runs
    assert "positions" in full.skipped
    assert full.given == ()
    assert (window.skipped, len(window.given)) == (None, 2)
    assert "positions hold a budget of" in wide.skipped
    assert "holds no whole frame" in none.skipped


def test_a_broken_video_is_told_and_others_are_watched(tiny):
    told_progress = []
    given = list(
        compare(
            [episode(question(), video="broken"), story(5), episode(video="6")],
            contestants()[:1],
            watching(tiny),
            on_progress=told_progress.append,
        )
    )
    assert [(one.video, one.failure, len(one.runs)) for one in given] == [
        ("broken", "no video", 0),
        ("5", None, 1),
    ]
    assert told_progress == sorted(told_progress)
    assert told_progress[-1] == 2


def test_other_programs_find_the_same(tiny):
    episodes = [story(7, 4), story(8, 4)]
    here = {one.video: one for one in compare(episodes, contestants()[:1], watching(tiny))}
    elsewhere = Watching(load_model=Load(), open_source=Play(), chunk_frames=4)
    there = {one.video: one for one in compare(episodes, contestants()[:1], elsewhere, num_workers=2)}
    assert set(there) == {"7", "8"}
    for video, one in here.items():
        assert answers(one.runs[0]) == answers(there[video].runs[0])

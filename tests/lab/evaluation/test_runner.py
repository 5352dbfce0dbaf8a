"""The runner shows a question the past and nothing else; gold scores 1, a blind model scores chance."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.lab.episodes import episode, prediction, question
from tests.lab.watchers import Blind, Pictures, Recorder, grey, told
from tests.lives import is_same, streams

from hermes_lab.datasets.world import as_episode
from hermes_lab.evaluation import Reply, SessionWatcher, run_episode, score
from hermes_lab.evaluation.polls import Polls
from hermes_lab.evaluation.runner import distinct_options
from hermes_stream import FullPolicy, HermesPolicy, Session, load_model
from hermes_stream.synthetic.planning import plan_questions
from hermes_stream.synthetic.world import generate_world


@pytest.mark.parametrize("fps", [0.5, 1, 4])
@pytest.mark.parametrize("start_seconds", [0.0, 12.5])
def test_a_question_sees_exactly_the_frames_up_to_its_moment(fps, start_seconds):
    frames = [grey(start_seconds + k / fps, 1 / fps) for k in range(int(10 * fps))]
    times = [0.0, 0.3, 2.0, 2.0, 5.75, 9.0, 30.0, math.inf]
    asked = episode(*(question(at=at, name=str(k)) for k, at in enumerate(times)))
    recorder = Recorder()
    given = list(run_episode(asked, Pictures(frames), recorder))
    assert [one.question for one in given] == list(asked.questions)
    for k, at in enumerate(times):
        expected = [f.pts_seconds for f in frames if f.pts_seconds - start_seconds <= at]
        assert recorder.seen_at[str(k)] == expected


def test_the_stream_ends_with_the_last_question():
    recorder = Recorder()
    list(run_episode(episode(question(at=2.0)), Pictures([grey(t) for t in range(50)]), recorder))
    assert recorder.times == [0, 1, 2]


def test_questions_after_the_end_are_marked():
    asked = episode(question(at=3.0), question(at=4.0), question(at=9.0), question(at=math.inf))
    given = list(run_episode(asked, Pictures([grey(t) for t in range(4)]), Recorder()))
    assert [one.at_seconds for one in given] == [3, 4, 4, 4]
    assert [one.is_past_end for one in given] == [False, False, True, False]


@pytest.mark.parametrize(
    ("words", "truth", "is_right"),
    [
        ("red cross", "red cross", True),
        (" Red Cross. ", "red cross", True),
        ("red cross", "Red cross.", True),
        ("red", "red cross", False),
        ("a red cross", "red cross", False),
        ("", "red cross", False),
    ],
)
def test_words_are_right_where_they_are_the_truth(words, truth, is_right):
    one = prediction(True, options=(), answer=truth)
    assert replace(one, reply=Reply(text=words)).is_right == is_right


def test_the_option_decides_whatever_the_words():
    assert prediction(True).is_right
    assert not prediction(False).is_right


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny", device="cpu")


def test_later_frames_change_no_answer(tiny):
    world = generate_world(21, 12)
    asked = as_episode(world, plan_questions(world, num_questions=10, seed=0), video="v")
    early = episode(*(one for one in asked.questions if one.asked_seconds <= 6))

    def answers(of, frames):
        session = Session(tiny, FullPolicy(), chunk_frames=4)
        given = run_episode(of, Pictures(frames), SessionWatcher(session, short_answers=True))
        return {one.question.question_id: one.reply.text for one in given}

    frames = told(world).frames
    dark = [*frames[:7], *(grey(t) for t in range(7, 12))]
    assert answers(early, dark) == answers(early, frames[:7])
    assert answers(asked, frames).items() >= answers(early, dark).items()


def test_a_session_chooses_or_finds_words(tiny):
    asked = episode(question("what is on screen now?"), question("what came first?", options=(), at=3.0))
    frames = Pictures([grey(t) for t in range(4)])

    def replies(*, short_answers):
        watcher = SessionWatcher(Session(tiny), short_answers=short_answers)
        return [one.reply for one in run_episode(asked, frames, watcher)]

    chosen, opened = replies(short_answers=False)
    assert chosen.text == asked.questions[0].options[chosen.option_index]
    assert opened.option_index is None
    assert [reply.option_index for reply in replies(short_answers=True)] == [None, None]
    assert chosen.ttft_seconds > 0
    assert (chosen.num_visual_tokens_seen, chosen.num_visual_tokens_kept) == (27, 27)


@pytest.mark.parametrize("short_answers", [False, True])
def test_a_blind_model_scores_no_more_than_chance(tiny, short_answers):
    """Holds for any weights: whoever sees black knows what a guesser knows, and how long it was black."""
    worlds = [generate_world(seed, 20) for seed in range(900, 906)]
    episodes = [
        as_episode(world, plan_questions(world, num_questions=20, seed=0), video=str(world.seed))
        for world in worlds
    ]
    stories = {str(world.seed): told(world) for world in worlds}
    policy = HermesPolicy.paper(budget_tokens=tiny.card.default_budget_tokens)
    given = []
    for one in episodes:
        watcher = Blind(SessionWatcher(Session(tiny, policy), short_answers=short_answers))
        given += run_episode(one, stories[one.video], watcher)
    for kind, own in score(given).by_kind.items():
        assert not is_beyond(own.accuracy, own.chance, own.num_questions), f"{kind}: {own}"


def is_beyond(accuracy, chance, num_questions):
    """Say whether a guesser would be right as often less than once in a thousand times."""
    num_right = round(accuracy * num_questions)
    tail = sum(
        math.comb(num_questions, k) * chance**k * (1 - chance) ** (num_questions - k)
        for k in range(num_right, num_questions + 1)
    )
    return tail < 0.001


def test_what_is_beyond_chance():
    assert not is_beyond(0.5, 0.25, 8)
    assert is_beyond(1.0, 0.25, 8)
    assert not is_beyond(0.0, 0.0, 8)
    assert is_beyond(0.55, 0.25, 40)


def proactive(due_seconds):
    return replace(question(options=(), answer="go", at=1.0), form="proactive", due_seconds=due_seconds)


@pytest.mark.parametrize(("notices_at", "answered_at"), [(0.0, 2.0), (4.0, 4.0), (8.0, 8.0), (99.0, 8.0)])
def test_a_proactive_question_is_asked_every_second_until_the_answer_comes(notices_at, answered_at):
    recorder = Recorder(notices_from_seconds=notices_at)
    asked = episode(proactive(4.0), question(name="later", at=9.0))
    one, later = run_episode(asked, Pictures([grey(t) for t in range(20)]), recorder)
    assert one.at_seconds == answered_at
    assert one.reply.text == ("" if notices_at == 99.0 else "?")
    assert later.at_seconds == 9.0
    assert recorder.times == list(range(10))


def test_a_session_notices(tiny):
    watcher = SessionWatcher(Session(tiny))
    watcher.observe(next(iter(told(generate_world(1, 5)))))
    assert watcher.notices(proactive(4.0)) in (True, False)


def test_what_is_watched_for_leaves_the_memory_as_it_is(tiny):
    frames = list(told(generate_world(1, 12)))
    watched, alone = (Session(tiny, chunk_frames=4) for _ in range(2))
    watcher = SessionWatcher(watched)
    for frame in frames:
        watcher.observe(frame)
        alone.observe(frame)
        watcher.notices(proactive(4.0))
    assert watched.stats.num_pending_frames == alone.stats.num_pending_frames
    assert is_same(*streams(watched, alone))
    assert watched.watches.stats.num_asked == len(frames) // 4


def test_a_forward_probe_is_read_as_a_standing_question(tiny):
    session = Session(tiny, chunk_frames=4)
    watcher = SessionWatcher(session)
    thing = generate_world(1, 12).appearances[0].thing
    for frame in told(generate_world(1, 12)):
        watcher.observe(frame)
    probe = replace(question(options=(), answer="Yes", at=11.0), form="yes_no", text=f"was there a {thing}?")
    reply = watcher.answer(probe)
    assert reply.text == "Yes"
    assert reply.num_frames == 12
    assert len(session.watches) == 0
    assert watcher.answer(probe).text == "Yes"


def test_a_preamble_is_asked_too_and_a_single_option_is_taken(tiny):
    asked = episode(
        question("what is on screen now?", options=("nothing",), answer="nothing"),
        replace(question("what is on screen now?", options=(), at=3.0), preamble="Before: nothing.\n"),
    )
    one, two = run_episode(asked, Pictures([grey(t) for t in range(4)]), SessionWatcher(Session(tiny)))
    assert (one.reply.option_index, one.reply.text, one.is_right) == (0, "nothing", True)
    assert two.reply.text


@pytest.mark.parametrize("due_seconds", [1e9, 1e14])
def test_a_right_moment_years_after_the_end_is_polled_while_there_is_video(due_seconds):
    class Waiting(Recorder):
        num_polls = 0

        def notices(self, question):
            self.num_polls += 1
            return False

    recorder = Waiting()
    asked = episode(proactive(due_seconds), question(name="end", at=math.inf), proactive(due_seconds))
    given = list(run_episode(asked, Pictures([grey(t) for t in range(20)]), recorder))
    assert [(one.at_seconds, one.is_past_end) for one in given] == [(20.0, True), (20.0, True), (20.0, False)]
    assert [one.question.question_id for one in given] == ["q", "q", "end"]
    assert recorder.num_polls == 2 * (len(range(2, 21)) + 1)


def test_polls_are_made_one_at_a_time():
    polls = Polls([proactive(1e15), question(at=2.5), proactive(1.0)])
    moments = iter(polls)
    found = [(next(moments), polls.index, polls.is_last) for _ in range(6)]
    assert found == [
        (2.0, 0, False),
        (2.0, 2, False),
        (2.5, 1, True),
        (3.0, 0, False),
        (3.0, 2, False),
        (4.0, 0, False),
    ]
    polls.close_question()
    assert [(at, polls.index) for at in moments] == [(4.0, 2), (5.0, 2)]
    assert polls.are_over


def test_options_that_read_alike_are_asked_and_count_by_their_index():
    assert distinct_options(["a", "b", "a", "a"]) == ["a", "b", "a ", "a  "]
    session = Session(load_model("tiny"))
    watcher = SessionWatcher(session)
    watcher.observe(grey(0.0))
    with pytest.raises(ValueError, match="leave twins out"):
        session.ask("what came first?", ["red circle", "red circle"])
    reply = watcher.answer(question(answer="red circle", options=("red circle", "red circle")))
    assert (reply.text, reply.option_index) == ("red circle", 0)

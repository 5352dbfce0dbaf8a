"""The shipped checkpoints understand their world: streamed, they answer stories that training never saw."""

from __future__ import annotations

import pytest

from hermes_lab.datasets.world import as_episode
from hermes_lab.evaluation import SessionWatcher, score
from hermes_lab.evaluation.runner import run_episode
from hermes_stream import FileSource, FullPolicy, HermesPolicy, Session, WindowPolicy, load_model
from hermes_stream.models import EMBEDDED
from hermes_stream.synthetic.planning import plan_questions
from hermes_stream.synthetic.questions import QUESTION_KINDS
from hermes_stream.synthetic.world import generate_world
from hermes_stream.video import write_video

SEEDS, SECONDS, NUM_QUESTIONS = range(500, 506), 48, 40


@pytest.fixture(scope="module", params=EMBEDDED)
def tiny(request):
    return load_model(request.param, device="cpu")


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    """Stories as files, with questions of every kind."""
    folder, stories = tmp_path_factory.mktemp("stories"), []
    for seed in SEEDS:
        world, path = generate_world(seed, SECONDS), folder / f"{seed}.mp4"
        write_video(path, world.frames(2, size=192), fps=2)
        questions = plan_questions(world, num_questions=NUM_QUESTIONS, seed=seed)
        stories.append((as_episode(world, questions, video=path.name), path))
    return stories


def report(tiny, stories, policy, *, short_answers=True):
    predictions = []
    for episode, path in stories:
        watcher = SessionWatcher(Session(tiny, policy), short_answers=short_answers)
        predictions += run_episode(episode, FileSource(path, fps=tiny.card.default_fps), watcher)
    return score(predictions, num_resamples=1)


@pytest.fixture(scope="module")
def full(tiny, stories):
    return report(tiny, stories, FullPolicy())


@pytest.fixture(scope="module")
def hermes(tiny, stories):
    return report(tiny, stories, HermesPolicy.paper(tiny.card.default_budget_tokens))


def test_with_the_full_cache_it_knows_every_kind(full):
    floors = dict.fromkeys(QUESTION_KINDS, 0.75) | {"first": 0.9, "was_there": 0.85}
    for kind, floor in floors.items():
        assert full.by_kind[kind].accuracy >= floor, kind
    assert full.by_group["now"].accuracy >= 0.9
    assert full.overall.accuracy >= 0.88


def test_options_are_chosen_at_least_as_well_as_words(tiny, stories, full):
    chosen = report(tiny, stories, FullPolicy(), short_answers=False)
    assert chosen.overall.accuracy >= full.overall.accuracy


def test_a_third_of_the_tokens_remembers_what_the_newest_frames_forget(tiny, stories, full, hermes):
    assert tiny.card.default_budget_tokens * 3 == SECONDS * 9
    window = report(tiny, stories, WindowPolicy(budget_tokens=tiny.card.default_budget_tokens))
    assert hermes.by_group["backward"].accuracy > window.by_group["backward"].accuracy + 0.1
    assert hermes.by_group["backward"].accuracy > full.by_group["backward"].accuracy - 0.1

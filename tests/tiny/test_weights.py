"""The shipped checkpoints understand their world: streamed, they answer stories that training never saw."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from hermes_lab.datasets.choices import normal
from hermes_stream import Engine, FileSource, FullPolicy, HermesPolicy, WindowPolicy, load_model
from hermes_stream.models import EMBEDDED
from hermes_stream.stream.playback import watch
from hermes_stream.synthetic.planning import plan_questions
from hermes_stream.synthetic.questions import KIND_GROUPS, QUESTION_KINDS
from hermes_stream.synthetic.world import generate_world
from hermes_stream.video import write_video

SEEDS, SECONDS, NUM_QUESTIONS = range(500, 506), 48, 40


@dataclass
class Marks:
    """Whether the questions of each kind were answered right."""

    of_kind: dict[str, list[bool]] = field(default_factory=dict)

    def note(self, kind: str, is_right: bool) -> None:
        self.of_kind.setdefault(kind, []).append(is_right)

    def accuracy(self, kinds: Iterable[str] = QUESTION_KINDS) -> float:
        marks = [mark for kind in kinds for mark in self.of_kind[kind]]
        return sum(marks) / len(marks)


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
        stories.append((path, plan_questions(world, num_questions=NUM_QUESTIONS, seed=seed)))
    return stories


@pytest.fixture(scope="module")
def marks(tiny, stories):
    """Watch all stories with all memories side by side; ask in words, and the full one with options too."""
    budget_tokens, fps = tiny.card.default_budget_tokens, tiny.card.default_fps
    policies = {
        "full": FullPolicy(),
        "hermes": HermesPolicy.best(budget_tokens),
        "window": WindowPolicy(budget_tokens=budget_tokens),
    }
    engine = Engine(tiny)
    engine.memory_bytes = None  # a full cache has no bound that could be admitted
    watched = []
    for path, questions in stories:
        streams = {
            name: engine.add(policy, fps=fps, guidance_from_questions=True)
            for name, policy in policies.items()
        }
        times = [question.asked_seconds for question in questions]

        def observe(frame, streams=streams):
            for stream in streams.values():
                stream.observe(frame)

        watched.append((watch(FileSource(path, fps=fps), times, observe=observe), questions, streams))
    marks = {name: Marks() for name in (*policies, "options")}
    for _ in range(NUM_QUESTIONS):
        asked = []
        for dues, questions, streams in watched:
            question = questions[next(dues).index]
            answers = {name: stream.ask(question.text, max_new_tokens=16) for name, stream in streams.items()}
            answers["options"] = streams["full"].ask(question.text, question.options)
            asked.append((question, answers))
        engine.run()
        for question, answers in asked:
            right = question.options.index(question.answer)
            marks["options"].note(question.kind, answers.pop("options").option_index == right)
            for name, answer in answers.items():
                marks[name].note(question.kind, normal(answer.text) == normal(question.answer))
    return marks


@pytest.mark.long
def test_with_the_full_cache_it_knows_every_kind(marks):
    floors = dict.fromkeys(QUESTION_KINDS, 0.75) | {"first": 0.9, "was_there": 0.85}
    for kind, floor in floors.items():
        assert marks["full"].accuracy([kind]) >= floor, kind
    assert marks["full"].accuracy(KIND_GROUPS["now"]) >= 0.9
    assert marks["full"].accuracy() >= 0.88


def test_options_are_chosen_at_least_as_well_as_words(marks):
    assert marks["options"].accuracy() >= marks["full"].accuracy()


def test_a_third_of_the_tokens_remembers_what_the_newest_frames_forget(tiny, marks):
    assert tiny.card.default_budget_tokens * 3 == SECONDS * 9
    full, hermes, window = (
        marks[name].accuracy(KIND_GROUPS["backward"]) for name in ("full", "hermes", "window")
    )
    assert hermes > window + 0.1
    assert hermes > full - 0.1

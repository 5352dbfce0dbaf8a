"""Standing questions about a stream of sentences: what is watched for, and what a model says at each look.

Half of what is watched for comes, the other half is like it in colour or kind and never does. How likely yes
and no are is all that is recorded; rules of watches are replayed on it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hermes_lab.sentences.reader import SentenceReader, frame_of
from hermes_lab.sentences.stories import COLOURS, THINGS, Story, put_frames
from hermes_lab.sentences.watching import open_stream, run_together
from hermes_stream.policies import FullPolicy, MemoryPolicy
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.scoring import YES_NO, ScoredQuestion, score, spellings
from hermes_stream.stream.stream import Stream
from hermes_stream.stream.work import Work

BLANK = "Nothing happens."
_TEXT_TOKENS = 120
_LOG = "Questions about the log.\n"
_ROOM = "Did someone put {} in a room?"
WORDINGS: dict[str, str] = {
    "asked, has come": "Has a {thing} come?",
    "asked, was put": "Was a {thing} put in a room? Answer yes or no.",
    "went on with, is in the log": f"{_LOG}Is there a {{thing}} in the log? Answer yes or no:",
    "examples, is in the log": f"{_LOG}Is there a purple elephant in the log? no\n"
    "Is there a room in the log? yes\nIs there a {thing} in the log?",
    "examples, has come": f"{_LOG}Has a purple elephant come? no\n"
    "Has a person come? yes\nHas a {thing} come?",
    "examples, was put": f"{_LOG}{_ROOM.format('a purple elephant')} no\n{_ROOM.format('a thing')} yes\n"
    f"{_ROOM.format('a {thing}')}",
}
"""How a watch may ask: what is asked stands in the model's chat, others are texts that it goes on with."""
CHOSEN = "examples, was put"
"""Which of them watches are measured with, chosen on short stories (results/standing_sentences.py)."""

Look = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """What a watch waits for.

    Attributes:
        thing: a colour and a thing.
        came_frame: the frame that shows it; None where it never comes.
    """

    thing: str
    came_frame: int | None


def sought_in(story: Story, *, num_each: int, first_frame: int) -> list[Sought]:
    """Draw what is watched for: things that come, and as many near misses; the same for the same story.

    Args:
        story: is watched.
        num_each: of either, at most.
        first_frame: what comes before is not watched for.
    """
    dice = random.Random(f"sought-{story.seed}-{len(story.sentences)}")
    came = put_frames(story)
    later = [thing for thing, frame in came.items() if frame >= first_frame]
    coming = dice.sample(later, min(num_each, len(later)))
    near: list[str] = []
    for thing in coming:
        colour, kind = thing.split()
        alike = [f"{colour} {one}" for one in THINGS] + [f"{one} {kind}" for one in COLOURS]
        near.append(dice.choice([one for one in alike if one not in came and one not in near]))
    return [
        *(Sought(thing=one, came_frame=came[one]) for one in coming),
        *(Sought(thing=one, came_frame=None) for one in near),
    ]


def phrase(model: SentenceReader, wording: str, thing: str) -> ScoredQuestion:
    """Word a standing question.

    Args:
        model: reads it.
        wording: one of ``WORDINGS``.
        thing: what is watched for.
    """
    text = WORDINGS[wording].format(thing=thing)
    if wording.startswith("asked"):
        return ScoredQuestion.of_words(model, text, YES_NO, text_tokens=_TEXT_TOKENS)
    answers = tuple(tuple((token,) for token in spellings(model.chat, word)) for (word,) in YES_NO)
    return ScoredQuestion(token_ids=tuple(model.chat.encode_user_text(text)), answers=answers)


def look_at(
    model: SentenceReader,
    policies: Mapping[str, MemoryPolicy],
    sentences: Sequence[str],
    questions: Sequence[ScoredQuestion],
    *,
    chunk_frames: int,
) -> dict[str, list[list[Look]]]:
    """Show sentences to memories side by side; return what each says to each question after each chunk.

    Args:
        model: reads sentences.
        policies: what each memory keeps, by its name.
        sentences: one a frame.
        questions: are asked at each look.
        chunk_frames: frames between two looks.

    Returns:
        For each memory and look the logarithms of yes and no, question by question.
    """
    executor = Executor(model)
    streams = {
        name: open_stream(model, policy, chunk_frames=chunk_frames) for name, policy in policies.items()
    }
    found: dict[str, list[list[Look]]] = {name: [] for name in streams}
    for frame, sentence in enumerate(sentences):
        for stream in streams.values():
            stream.intake.accept(frame_of(sentence, float(frame)))
        if not next(iter(streams.values())).has_full_chunk:
            continue
        run_together(executor, [stream.fold() for stream in streams.values()])
        looks = run_together(executor, [_scored(model, stream, questions) for stream in streams.values()])
        for name, look in zip(streams, looks, strict=True):
            found[name].append([(yes, no) for yes, no in look])
    return found


def look_at_nothing(model: SentenceReader, questions: Sequence[ScoredQuestion]) -> list[Look]:
    """Return what a model says to each question where a single quiet sentence was shown."""
    (looks,) = look_at(model, {"full": FullPolicy()}, [BLANK], questions, chunk_frames=1).values()
    return looks[-1]


def _scored(
    model: SentenceReader, stream: Stream, questions: Sequence[ScoredQuestion]
) -> Work[list[tuple[float, ...]]]:
    yield from stream.prepare_context()
    return (yield from score(model, stream.context, questions))

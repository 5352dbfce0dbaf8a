"""``hermes analyze``: how a model attends to a video, what its memory holds, what its answers attend to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_lab.cli.analysis_report import Analysis, AnalysisQuestion, TracedAnswer
from hermes_lab.cli.folder import can_draw, make_folder
from hermes_stream.cli.knowledge import warn_of_narrow_model, warn_of_unknown_words
from hermes_stream.cli.opening import check_options, load, open_session, open_video
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import (
    FpsOption,
    JsonOption,
    MemoryOptions,
    ModelOptions,
    SeedOption,
    SourceOptions,
)
from hermes_stream.cli.output import complain, doing, print_json, progress_bar
from hermes_stream.cli.settings import settings_of

if TYPE_CHECKING:
    from hermes_stream.models import VideoModel
    from hermes_stream.stream import Session
    from hermes_stream.synthetic.world import World
    from hermes_stream.video import FileSource

_STUDIED_SHARE = 0.75  # of the positions; the rest is for questions, and for gaps in time


StoryOrVideoArgument = Annotated[
    str | None,
    typer.Argument(help="A local video file; without, a generated story is watched.", show_default=False),
]
QuestionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--question",
        metavar="TEXT",
        help="What to ask at the end, any number; default: of a story, a question of each kind; of a "
        "video, the model's guidance prompts.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="Where to write analysis.json and pictures.", show_default=False
    ),
]


@expand_options
def analyze(
    *,
    video: StoryOrVideoArgument = None,
    question: QuestionsOption = None,
    out: OutOption = None,
    seconds: Annotated[int, typer.Option("--seconds", metavar="N", min=20, help="Length of a story.")] = 48,
    seed: SeedOption = 0,
    model: ModelOptions,
    memory: MemoryOptions,
    fps: FpsOption = None,
    json: JsonOption = False,
) -> None:
    """See how a model attends to a video, and what its memory keeps of it.

    The video is watched twice at once: with all tokens, where the attention of the questions is measured by
    layer and age, and with the policy, whose memory is mapped and whose answers are traced to their moments.
    Both read everything at the end.
    """
    check_options(model, memory)
    draws = False
    if out is not None:
        make_folder(out)
        with doing("starting"):
            draws = can_draw()
    with _open(video, seed=seed, seconds=seconds, fps=fps, model=model) as (loaded, source, of_story):
        asked = [AnalysisQuestion(text=text) for text in question or ()]
        if video is not None:
            warn_of_narrow_model(loaded)
        unknown = {one.text: warn_of_unknown_words(loaded, one.text) for one in asked}
        analysis = _analyze(open_session(memory, loaded), source, asked or of_story or _prompts(loaded))
    about = {"video": video, "seed": None if video else seed, "fps": source.fps}
    document = about | settings_of(analysis.session, model, memory) | analysis.document(unknown)
    files = [] if out is None else analysis.write(out, document, draws=draws)
    if json:
        print_json(document)
    else:
        analysis.print(memory.policy, out, files)


@contextmanager
def _open(
    video: str | None, *, seed: int, seconds: int, fps: float | None, model: ModelOptions
) -> Iterator[tuple[VideoModel, FileSource, list[AnalysisQuestion]]]:
    """Open the video, or write a story; load the model; make the questions that belong to the story."""
    if video is not None:
        # a mistake in its path is to show before the model is loaded
        open_video(video, SourceOptions(fps=fps))
    loaded = load(model)
    rate = loaded.card.default_fps if fps is None else fps
    if video is not None:
        yield loaded, open_video(video, SourceOptions(fps=rate)), []
        return
    from hermes_stream.synthetic.recording import recorded_world

    with recorded_world(seed, duration_seconds=seconds, num_questions=1) as recording:
        source = open_video(str(recording.path), SourceOptions(fps=rate))
        yield loaded, source, _story_questions(recording.world, rate)


def _story_questions(world: World, fps: float) -> list[AnalysisQuestion]:
    """Ask once in each kind at the last frame of a story, if the kind has an exact answer then."""
    import numpy as np

    from hermes_stream.synthetic.questions import QUESTION_KINDS, ask_at

    rng = np.random.default_rng([world.seed, 0])
    last = (math.ceil(world.duration_seconds * fps - 1e-9) - 1) / fps
    made = [ask_at(world, last, kind, rng) for kind in QUESTION_KINDS]
    return [
        AnalysisQuestion(
            text=one.text,
            truth=one.answer,
            spans=tuple((start, end + 1 / fps if end >= last else end) for start, end in one.evidence),
        )
        for one in made
        if one is not None
    ]


def _prompts(model: VideoModel) -> list[AnalysisQuestion]:
    prompts = model.card.guidance_prompts
    return [AnalysisQuestion(text=text) for text in (prompts.local_prompt, prompts.global_prompt)]


def _analyze(session: Session, source: FileSource, questions: Sequence[AnalysisQuestion]) -> Analysis:
    """Show the video to a session, and to one that forgets nothing until its positions end; ask both."""
    from hermes_lab.analysis.attention import study_attention
    from hermes_lab.analysis.thumbnails import Thumbnails
    from hermes_stream.policies import FullPolicy
    from hermes_stream.stream import Session

    model, thumbnails = session.model, Thumbnails()
    full = Session(model, FullPolicy(), chunk_frames=session.chunk_frames)
    free = int(_STUDIED_SHARE * model.layout.max_positions) - full.cache.num_prefix_tokens
    last = studied_until = 0.0
    with progress_bar("watching", source.duration_seconds) as move:
        for frame in source:
            last = frame.pts_seconds
            session.observe(frame)
            thumbnails.add(frame)
            free -= model.num_tokens(*frame.size)
            if free >= 0:
                full.observe(frame)
                studied_until = last
            move(last - source.start_seconds)
    session.flush()
    if free < 0:
        complain(
            f"attention is studied on the first {studied_until - source.start_seconds:g} s: without "
            f"forgetting, more does not fit the model's {model.layout.max_positions} positions",
            kind="warning",
        )
    with doing("asking"):
        study = study_attention(full, [one.text for one in questions])
        answers = [_trace(session, one) for one in questions]
    return Analysis(
        session=session,
        thumbnails=thumbnails,
        start_seconds=source.start_seconds,
        last_seconds=last,
        studied_until_seconds=studied_until,
        study=study,
        answers=answers,
    )


def _trace(session: Session, question: AnalysisQuestion) -> TracedAnswer:
    answer = session.ask(question.text, max_new_tokens=64)
    text = answer.text
    evidence = session.evidence(question.text, answer_ids=answer.token_ids)
    return TracedAnswer(question=question, text=text, evidence=evidence)

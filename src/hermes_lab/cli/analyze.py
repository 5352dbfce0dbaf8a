"""``hermes analyze``: how a model attends to a video, what its memory holds, where its answers look."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_lab.cli.analysis_report import Asked, Looked, Watched, document_of, print_report, write_report
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


@expand_options
def analyze(
    *,
    video: StoryOrVideoArgument = None,
    question: QuestionsOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Where to write analysis.json and pictures.", show_default=False
        ),
    ] = None,
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
    if out is not None:
        _check_plots()
    with _stream(video, seed=seed, seconds=seconds, fps=fps, model=model) as (loaded, source, own):
        asked = [Asked(text=text) for text in question] if question else own or _guidance_prompts(loaded)
        watched = _watch(memory, loaded, source)
    with doing("asking"):
        from hermes_lab.analysis.attention import study_attention

        study = study_attention(watched.full, [one.text for one in asked])
        looked = [_look(watched.session, one) for one in asked]
    about = {"video": video, "seed": None if video else seed, "fps": source.fps}
    document = about | document_of(watched, settings_of(watched.session, model, memory), study, looked)
    written = write_report(out, document, watched, study, looked) if out is not None else []
    if json:
        print_json(document)
    else:
        print_report(watched, study, looked, written, out)


def _check_plots() -> None:
    with doing("starting"):
        from hermes_lab.analysis.plots import check_matplotlib

        check_matplotlib()


@contextmanager
def _stream(
    video: str | None, *, seed: int, seconds: int, fps: float | None, model: ModelOptions
) -> Iterator[tuple[VideoModel, FileSource, list[Asked]]]:
    """Open the video, or write a story; load the model; name the questions that belong to the story."""
    if video is not None:
        source = open_video(video, SourceOptions(fps=fps))
        loaded = load(model)
        rate = loaded.card.default_fps if fps is None else fps
        yield loaded, source if fps else open_video(video, SourceOptions(fps=rate)), []
        return
    loaded = load(model)
    from hermes_stream.cli.demo_story import written_story

    with written_story(seed, duration_seconds=seconds, num_questions=1) as story:
        rate = loaded.card.default_fps if fps is None else fps
        source = open_video(str(story.path), SourceOptions(fps=rate))
        yield loaded, source, _story_questions(story.world, rate)


def _story_questions(world: World, fps: float) -> list[Asked]:
    """Ask once in each kind at the last frame of a story, where the kind has an exact answer then."""
    import numpy as np

    from hermes_stream.synthetic.questions import QUESTION_KINDS, ask_at

    rng = np.random.default_rng([world.seed, 0])
    last = (math.ceil(world.duration_seconds * fps - 1e-9) - 1) / fps
    made = [ask_at(world, last, kind, rng) for kind in QUESTION_KINDS]
    return [
        Asked(
            text=one.text,
            truth=one.answer,
            spans=tuple((start, end + 1 / fps if end >= last else end) for start, end in one.evidence),
        )
        for one in made
        if one is not None
    ]


def _guidance_prompts(model: VideoModel) -> list[Asked]:
    prompts = model.card.guidance_prompts
    return [Asked(text=prompts.local_prompt), Asked(text=prompts.global_prompt)]


def _watch(memory: MemoryOptions, model: VideoModel, source: FileSource) -> Watched:
    """Show the video to both sessions; the one that forgets nothing stops where its positions end."""
    from hermes_lab.analysis.thumbnails import Thumbnails
    from hermes_stream.policies import FullPolicy
    from hermes_stream.stream import Session

    session = open_session(memory, model)
    full = Session(model, FullPolicy(), chunk_frames=memory.chunk_frames)
    thumbnails, last, until = Thumbnails(), 0.0, 0.0
    room = int(_STUDIED_SHARE * model.layout.max_positions) - full.cache.num_prefix_tokens
    num_tokens, is_whole = 0, True
    with progress_bar("watching", source.duration_seconds) as move:
        for frame in source:
            last = frame.pts_seconds
            session.observe(frame)
            thumbnails.add(frame)
            num_tokens += model.num_tokens(*frame.image.shape[:2])
            is_whole = is_whole and num_tokens <= room
            if is_whole:
                full.observe(frame)
                until = last
            move(last - source.start_seconds)
    session.flush()
    if not is_whole:
        complain(
            f"attention is studied on the first {until - source.start_seconds:g} s: without forgetting, more "
            f"does not fit the model's {model.layout.max_positions} positions",
            kind="warning",
        )
    return Watched(
        session=session,
        full=full,
        thumbnails=thumbnails,
        start_seconds=source.start_seconds,
        last_seconds=last,
        full_until_seconds=until,
    )


def _look(session: Session, asked: Asked) -> Looked:
    answer = session.ask(asked.text, max_new_tokens=64)
    text = answer.text
    return Looked(
        asked=asked, answer=text, evidence=session.evidence(asked.text, answer_ids=answer.token_ids)
    )

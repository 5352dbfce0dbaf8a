"""``hermes world``: stories of the synthetic world as videos, with annotations that ``hermes eval`` reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_stream.cli.options import JsonOption, SeedOption
from hermes_stream.cli.output import print_json, progress_bar
from hermes_stream.errors import VideoError

if TYPE_CHECKING:
    from hermes_lab.datasets import Episode
    from hermes_stream.synthetic.world import Pace, World

_ANNOTATIONS = "annotations.json"
_VIDEOS = "videos"


OutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder to write, new or empty.", show_default=False)
]
StreamsOption = Annotated[
    int, typer.Option("--streams", metavar="K", min=1, help="How many; each has the next seed.")
]
SecondsOption = Annotated[int, typer.Option("--seconds", metavar="S", min=3, help="Length of each.")]
VideoFpsOption = Annotated[
    int,
    typer.Option(
        "--fps", metavar="F", min=1, help="Pictures per second; whole, so that every second shows as it is."
    ),
]
SizeOption = Annotated[
    int, typer.Option("--size", metavar="PIXELS", min=32, help="Width and height of the pictures.")
]
QuestionsOption = Annotated[
    int, typer.Option("--questions", metavar="N", min=1, help="How many are asked about each.")
]
QuietOption = Annotated[
    tuple[int, int] | None,
    typer.Option(
        "--quiet-seconds",
        metavar="MIN MAX",
        help="How long the screen is empty in a quiet stretch; default: 1 5.",
        show_default=False,
    ),
]
DialectOption = Annotated[
    str, typer.Option("--dialect", metavar="NAME", help="Of the annotations: unified, streamingbench, ovo.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")]


def world(  # noqa: PLR0913 - one parameter per option
    *,
    out: OutOption,
    seed: SeedOption = 0,
    streams: StreamsOption = 1,
    seconds: SecondsOption = 48,
    fps: VideoFpsOption = 4,
    size: SizeOption = 240,
    questions: QuestionsOption = 40,
    quiet_seconds: QuietOption = None,
    dialect: DialectOption = "unified",
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Write generated stories as H.264 videos, with annotated questions of every kind.

    Coloured shapes come and go; questions are asked at whole seconds, spread over each story. The same
    options give the same bytes. Ask them with: hermes eval DIR/annotations.json --videos DIR
    """
    pace = _pace(quiet_seconds)
    _check(out, dialect, force=force)
    from hermes_stream.synthetic.world import generate_world

    worlds = [generate_world(seed + k, seconds, pace=pace) for k in range(streams)]
    episodes = _episodes(worlds, num_questions=questions)
    _write(out, worlds, episodes, fps=fps, size=size, dialect=dialect)
    if json:
        written = {"annotations": str(out / _ANNOTATIONS), "dialect": dialect}
        how = {"seed": seed, "duration_seconds": seconds, "fps": fps, "size": size}
        print_json(written | how | _contents(out, episodes))
    else:
        _print(out, episodes)


def _pace(quiet_seconds: tuple[int, int] | None) -> Pace | None:
    from hermes_stream.synthetic.world import Pace

    try:
        return Pace(quiet_seconds=quiet_seconds) if quiet_seconds else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--quiet-seconds") from error


def _check(out: Path, dialect: str, *, force: bool) -> None:
    """Refuse an unknown dialect, and a folder that may hold what somebody wants to keep.

    Raises:
        BadParameter: either of them.
    """
    from hermes_lab.datasets import DIALECTS

    if dialect not in DIALECTS:
        raise typer.BadParameter(f"{dialect!r} is none of {', '.join(DIALECTS)}", param_hint="--dialect")
    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file; give a folder", param_hint="--out")
    if not force and out.is_dir() and any(out.iterdir()):
        raise typer.BadParameter(
            f"{out} is not empty; give another folder, or --force to write over what is there",
            param_hint="--out",
        )


def _episodes(worlds: Sequence[World], *, num_questions: int) -> list[Episode]:
    from hermes_lab.datasets.world import as_episode
    from hermes_stream.synthetic.planning import plan_questions

    return [
        as_episode(
            story,
            plan_questions(story, num_questions=num_questions, seed=story.seed),
            video=f"{_VIDEOS}/world-{story.seed:06d}.mp4",
        )
        for story in worlds
    ]


def _write(
    out: Path, worlds: Sequence[World], episodes: Sequence[Episode], *, fps: int, size: int, dialect: str
) -> None:
    """Write the videos, then the annotations, so that these are there once all is."""
    from hermes_lab.datasets import write_annotations
    from hermes_stream.video import write_video

    _make_folder(out / _VIDEOS)
    with progress_bar("writing videos", len(worlds)) as move:
        for number, (story, episode) in enumerate(zip(worlds, episodes, strict=True)):
            write_video(out / episode.video, story.frames(fps, size=size), fps=fps)
            move(number + 1)
    write_annotations(out / _ANNOTATIONS, episodes, dialect=dialect)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VideoError(
            f"{folder} cannot be made: {error.strerror}; check permissions, or give another folder"
        ) from error


def _contents(out: Path, episodes: Sequence[Episode]) -> dict[str, object]:
    asked = Counter(question.kind for episode in episodes for question in episode.questions)
    return {
        "videos": [str(out / episode.video) for episode in episodes],
        "num_questions": asked.total(),
        "num_questions_by_kind": dict(sorted(asked.items())),
    }


def _print(out: Path, episodes: Sequence[Episode]) -> None:
    num_questions = sum(len(episode.questions) for episode in episodes)
    videos = "1 video" if len(episodes) == 1 else f"{len(episodes)} videos"
    typer.echo(f"{videos}, {num_questions} questions in {out}")
    typer.echo(f"hermes eval {out / _ANNOTATIONS} --videos {out}")

"""``hermes world``: stories of the synthetic world as videos, with annotations that ``hermes eval`` reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_lab.cli.folder import written
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import JsonOption, SeedOption
from hermes_stream.cli.output import print_json, progress_bar, say

if TYPE_CHECKING:
    from hermes_lab.datasets import Episode
    from hermes_stream.synthetic.world import World

_ANNOTATIONS = "annotations.json"
_WATCHES = "watches.json"
_VIDEOS = "videos"
_ALL_SCENES = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryOptions:
    """Which stories are generated, how they are drawn, and how much is asked about them."""

    seed: SeedOption = 0
    streams: Annotated[
        int, typer.Option("--streams", metavar="K", min=1, help="How many; each has the next seed.")
    ] = 1
    seconds: Annotated[int, typer.Option("--seconds", metavar="S", min=3, help="Length of each.")] = 48
    fps: Annotated[
        int,
        typer.Option(
            "--fps",
            metavar="F",
            min=1,
            help="Pictures per second; whole, so that every second shows as it is.",
        ),
    ] = 4
    size: Annotated[
        int, typer.Option("--size", metavar="PIXELS", min=32, help="Width and height of the pictures.")
    ] = 240
    questions: Annotated[
        int, typer.Option("--questions", metavar="N", min=1, help="How many are asked about each.")
    ] = 40
    kinds: Annotated[
        str | None,
        typer.Option(
            "--kinds",
            metavar="NAME,...",
            help="What is asked: kinds, or groups of them (now, backward, counting, standing, recall, "
            "never_shown, all); default: now,backward,counting.",
            show_default=False,
        ),
    ] = None
    scene: Annotated[
        str,
        typer.Option(
            "--scene",
            metavar="NAME",
            help="How the camera sees it: still, noise, flicker, pan, handheld, light, clutter; all goes "
            "through them, story by story.",
        ),
    ] = "still"
    cast_shapes: Annotated[
        int,
        typer.Option(
            "--cast-shapes",
            metavar="N",
            min=2,
            max=4,
            help="How many of the four shapes come; with fewer, some are never shown.",
        ),
    ] = 4
    quiet_seconds: Annotated[
        tuple[int, int] | None,
        typer.Option(
            "--quiet-seconds",
            metavar="MIN MAX",
            help="How long the screen is empty in a quiet stretch; default: 1 5.",
            show_default=False,
        ),
    ] = None
    empty_seconds: Annotated[
        tuple[int, int] | None,
        typer.Option(
            "--empty-seconds",
            metavar="FROM UNTIL",
            help="A stretch in which nothing comes; what is there leaves where it begins.",
            show_default=False,
        ),
    ] = None
    dark_seconds: Annotated[
        tuple[int, int] | None,
        typer.Option(
            "--dark-seconds",
            metavar="FROM UNTIL",
            help="The same, with the light out.",
            show_default=False,
        ),
    ] = None


@expand_options
def world(
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder to write, new or empty.", show_default=False)
    ],
    stories: StoryOptions,
    dialect: Annotated[
        str,
        typer.Option("--dialect", metavar="NAME", help="Of the annotations: unified, streamingbench, ovo."),
    ] = "unified",
    watches: Annotated[
        bool,
        typer.Option(
            "--watches", help="Also write watches.json: standing questions, and when each should speak."
        ),
    ] = False,
    watches_each: Annotated[
        int,
        typer.Option(
            "--watches-each",
            metavar="N",
            min=1,
            max=3,
            help="Of each condition and story, for what comes, and as many for what never does.",
        ),
    ] = 1,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")] = False,
    json: JsonOption = False,
) -> None:
    """Write generated stories as H.264 videos, with annotated questions of every kind.

    Coloured shapes come and go; questions are asked at whole seconds, spread over each story. The same
    options give the same bytes. Ask them with: hermes eval DIR/annotations.json --videos DIR
    """
    _check(out, dialect, force=force)
    kinds = _kinds(stories)
    worlds = _generate(stories)
    episodes = [_episode(one, num_questions=stories.questions, kinds=kinds) for one in worlds]
    _write(out, worlds, episodes, stories=stories, dialect=dialect)
    watched = _write_watches(out, worlds, num_each=watches_each, fps=stories.fps) if watches else {}
    if json:
        written = {"annotations": str(out / _ANNOTATIONS), "dialect": dialect, **watched}
        how = {"duration_seconds": stories.seconds, "fps": stories.fps, "size": stories.size}
        told = {"seed": stories.seed, "scene": stories.scene}
        print_json(written | told | how | _contents(out, episodes))
    else:
        num_questions = sum(len(episode.questions) for episode in episodes)
        videos = "1 video" if len(episodes) == 1 else f"{len(episodes)} videos"
        say(f"{videos}, {num_questions} questions in {out}")
        say(f"hermes eval {out / _ANNOTATIONS} --videos {out}")
        if watched:
            say(f"hermes eval {watched['watches']} --videos {out}")


def _check(out: Path, dialect: str, *, force: bool) -> None:
    """Refuse an unknown dialect, and a folder that may hold what somebody wants to keep.

    Raises:
        BadParameter: either of them.
    """
    from hermes_lab.datasets import WRITABLE_DIALECTS

    if dialect not in WRITABLE_DIALECTS:
        raise typer.BadParameter(
            f"{dialect!r} is none of {', '.join(WRITABLE_DIALECTS)}", param_hint="--dialect"
        )
    with written(out):
        is_file = out.exists() and not out.is_dir()
        is_filled = out.is_dir() and any(out.iterdir())
    if is_file:
        raise typer.BadParameter(f"{out} is a file; give a folder", param_hint="--out")
    if is_filled and not force:
        raise typer.BadParameter(
            f"{out} is not empty; give another folder, or --force to write over what is there",
            param_hint="--out",
        )


def _kinds(stories: StoryOptions) -> tuple[str, ...]:
    from hermes_stream.synthetic.questions import QUESTION_KINDS, kinds_named

    if stories.kinds is None:
        return tuple(QUESTION_KINDS)
    try:
        return kinds_named(name.strip() for name in stories.kinds.split(",") if name.strip())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--kinds") from error


def _generate(stories: StoryOptions) -> list[World]:
    from hermes_stream.synthetic.scenes import SCENES
    from hermes_stream.synthetic.world import Pace, generate_world

    accepted = (*SCENES, _ALL_SCENES)
    if stories.scene not in accepted:
        raise typer.BadParameter(f"{stories.scene!r} is none of {', '.join(accepted)}", param_hint="--scene")
    scenes = tuple(SCENES) if stories.scene == _ALL_SCENES else (stories.scene,)
    try:
        pace = Pace(
            quiet_seconds=stories.quiet_seconds or Pace().quiet_seconds, cast_shapes=stories.cast_shapes
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--quiet-seconds") from error
    seeds = range(stories.seed, stories.seed + stories.streams)
    worlds = [
        generate_world(seed, stories.seconds, pace=pace, scene=scenes[number % len(scenes)])
        for number, seed in enumerate(seeds)
    ]
    return [_with_stretches(one, stories) for one in worlds]


def _with_stretches(world: World, stories: StoryOptions) -> World:
    from hermes_stream.synthetic.stretches import leave_empty, put_light_out

    for option, stretch, change in (
        ("--empty-seconds", stories.empty_seconds, leave_empty),
        ("--dark-seconds", stories.dark_seconds, put_light_out),
    ):
        if stretch is not None:
            try:
                world = change(world, stretch)
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint=option) from error
    return world


def _episode(world: World, *, num_questions: int, kinds: Sequence[str]) -> Episode:
    from hermes_lab.datasets.world import as_episode, name_of
    from hermes_stream.synthetic.planning import plan_questions

    questions = plan_questions(world, num_questions=num_questions, seed=world.seed, kinds=kinds)
    return as_episode(world, questions, video=f"{_VIDEOS}/{name_of(world)}.mp4")


def _write(
    out: Path,
    worlds: Sequence[World],
    episodes: Sequence[Episode],
    *,
    stories: StoryOptions,
    dialect: str,
) -> None:
    """Write the videos, then the annotations, so that these are there once all is."""
    from hermes_lab.datasets import write_annotations
    from hermes_stream.video import write_video

    with written(out):
        (out / _VIDEOS).mkdir(parents=True, exist_ok=True)
        for earlier in (_ANNOTATIONS, _WATCHES):  # of other stories under the same names
            (out / earlier).unlink(missing_ok=True)
    with progress_bar("writing videos", len(worlds)) as move:
        for number, (one, episode) in enumerate(zip(worlds, episodes, strict=True)):
            write_video(out / episode.video, one.frames(stories.fps, size=stories.size), fps=stories.fps)
            move(number + 1)
    write_annotations(out / _ANNOTATIONS, episodes, dialect=dialect)


def _write_watches(out: Path, worlds: Sequence[World], *, num_each: int, fps: float) -> dict[str, object]:
    """Write what is watched for in each story, and return what that is."""
    from hermes_lab.datasets.watch_annotations import WatchedStory, write_watches
    from hermes_lab.datasets.world import name_of
    from hermes_stream.synthetic.watch_truths import plan_watches

    stories = [
        WatchedStory(
            video=f"{_VIDEOS}/{name_of(one)}.mp4",
            duration_seconds=float(one.duration_seconds),
            scene=one.scene,
            watches=plan_watches(one, num_each=num_each, fps=fps),
        )
        for one in worlds
    ]
    path = out / _WATCHES
    write_watches(path, stories)
    planned = [watch for story in stories for watch in story.watches]
    return {
        "watches": str(path),
        "num_watches": len(planned),
        "num_watches_by_condition": dict(Counter(watch.condition for watch in planned)),
        "num_watches_that_never_come": sum(not watch.happenings for watch in planned),
    }


def _contents(out: Path, episodes: Sequence[Episode]) -> dict[str, object]:
    asked = Counter(question.kind for episode in episodes for question in episode.questions)
    return {
        "videos": [str(out / episode.video) for episode in episodes],
        "num_questions": asked.total(),
        "num_questions_by_kind": dict(sorted(asked.items())),
    }

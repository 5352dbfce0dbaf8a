"""``hermes eval``: annotated videos are watched, their questions asked at their times, the answers scored."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_stream.cli.describing import settings_of
from hermes_stream.cli.opening import SessionWish, mute_log, open_video
from hermes_stream.cli.options import (
    BudgetOption,
    ChunkOption,
    DeviceOption,
    DtypeOption,
    FpsOption,
    JsonOption,
    ModelOption,
    PolicyOption,
    SeedOption,
)
from hermes_stream.cli.output import complain, print_json, progress_bar, screen
from hermes_stream.cli.results import entry, machine_of, print_report, results
from hermes_stream.errors import AnnotationError

if TYPE_CHECKING:
    from hermes_stream.evals import Episode, Prediction
    from hermes_stream.stream import Session
    from hermes_stream.video import FileSource


AnnotationsArgument = Annotated[
    Path, typer.Argument(help="A JSON file: unified, StreamingBench or OVO-Bench.", show_default=False)
]
VideosOption = Annotated[
    Path, typer.Option("--videos", metavar="DIR", help="Where the videos are.", show_default=False)
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, help="The first N videos only.", show_default=False),
]
ShortAnswersOption = Annotated[
    bool, typer.Option("--short-answers", help="Show no options; the words must be the truth.")
]
PredictionsOption = Annotated[
    Path | None,
    typer.Option(
        "--predictions",
        metavar="FILE",
        help="Write every answer as it comes, one JSON document a line; replaces the file.",
        show_default=False,
    ),
]


def evaluate(  # noqa: PLR0913 - one parameter per option
    *,
    annotations: AnnotationsArgument,
    videos: VideosOption,
    model: ModelOption = "tiny",
    policy: PolicyOption = "hermes",
    budget_tokens: BudgetOption = None,
    fps: FpsOption = None,
    chunk_frames: ChunkOption = 16,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    seed: SeedOption = 0,
    limit: LimitOption = None,
    short_answers: ShortAnswersOption = False,
    predictions: PredictionsOption = None,
    json: JsonOption = False,
) -> None:
    """Score a model on annotated videos.

    Each video is streamed once, and each question is answered at its time, from what the memory then holds.
    Accuracy comes with its 95 % interval and with what a guesser who saw nothing would reach.
    """
    wish = SessionWish(
        model=model,
        policy=policy,
        budget_tokens=budget_tokens,
        chunk_frames=chunk_frames,
        device=device,
        dtype=dtype,
    )
    wish.check()
    every = _load(annotations)
    episodes = [episode for episode in every if episode.questions][:limit]
    files = _files(episodes, videos)
    _check_writable(predictions)
    mute_log()
    session = wish.open_session(wish.load_model())
    fps = fps or session.model.card.default_fps
    settings = settings_of(session, wish) | {"fps": fps, "short_answers": short_answers}
    begin, machine = _session_maker(session), machine_of(session)
    del session
    began = time.perf_counter()
    with _lines(predictions) as write:
        given = _watch(episodes, files, begin, fps=fps, short_answers=short_answers, write=write)
    took_seconds = time.perf_counter() - began
    _complain_of(every, given)
    if json:
        asked = {"annotations": str(annotations), "videos": str(videos), "limit": limit, "seed": seed}
        found = results(given, seed=seed, took_seconds=took_seconds) | {"left_out": _left_out(every)}
        print_json(asked | settings | machine | found)
    else:
        print_report(screen(), given, seed=seed, took_seconds=took_seconds)


def _load(path: Path) -> list[Episode]:
    """Read what is asked.

    Raises:
        AnnotationError: there is no question at all, or the file is wrong.
    """
    from hermes_stream.evals import load_annotations

    episodes = load_annotations(path)
    if not any(episode.questions for episode in episodes):
        reasons = _listed(_left_out(episodes)) or "it holds no question"
        raise AnnotationError(f"{path}: nothing can be asked ({reasons}); give other annotations")
    return episodes


def _files(episodes: Sequence[Episode], folder: Path) -> dict[str, Path]:
    """Find every video before a model loads."""
    from hermes_stream.evals import find_video

    return {episode.video: find_video(episode.video, folder) for episode in episodes}


def _check_writable(path: Path | None) -> None:
    """Refuse what predictions cannot be written to, and leave what it holds until there are some.

    Raises:
        BadParameter: the file cannot be written.
    """
    if path is None:
        return
    try:
        path.open("a").close()
    except OSError as error:
        raise typer.BadParameter(
            f"{path} cannot be written: {error.strerror}; give a file in a folder that exists",
            param_hint="--predictions",
        ) from error


@contextmanager
def _lines(path: Path | None) -> Iterator[Callable[[Prediction], None]]:
    """Give a function that writes a prediction as a line of a file, at once."""
    if path is None:
        yield lambda _: None
        return
    with path.open("w", encoding="utf-8") as file:

        def write(one: Prediction) -> None:
            file.write(dumps(entry(one), allow_nan=False) + "\n")
            file.flush()

        yield write


def _session_maker(session: Session) -> Callable[[], Session]:
    """Return what makes sessions like one, which it does not hold on to."""
    from hermes_stream.stream import Session

    return partial(Session, session.model, session.policy, chunk_frames=session.chunk_frames)


def _watch(
    episodes: Sequence[Episode],
    files: Mapping[str, Path],
    begin: Callable[[], Session],
    *,
    fps: float,
    short_answers: bool,
    write: Callable[[Prediction], None],
) -> list[Prediction]:
    """Watch all videos and return the answers to all questions; each is written as it comes."""
    from hermes_stream.evals import SessionWatcher, run

    sources: list[FileSource] = []

    def open_source(episode: Episode) -> FileSource:
        sources.append(open_video(str(files[episode.video]), fps=fps, video_stream=None))
        return sources[-1]

    given = []
    with progress_bar("watching", len(episodes)) as move:
        for one in run(
            episodes,
            open_source=open_source,
            make_watcher=lambda: SessionWatcher(begin(), short_answers=short_answers),
            on_progress=move,
        ):
            given.append(one)
            write(one)
    for source in sources:
        if source.damage:
            complain(f"{source.path} is damaged, what is good was watched: {source.damage}", kind="warning")
    return given


def _complain_of(episodes: Sequence[Episode], given: Sequence[Prediction]) -> None:
    """Tell of what a score hides: questions that were left out or asked after the end."""
    left_out = _left_out(episodes)
    if left_out:
        complain(f"left out of the annotations: {_listed(left_out)}", kind="warning")
    late = [one for one in given if one.is_past_end]
    if late:
        complain(
            f"{len(late)} of {len(given)} questions are after the end of their video, such as "
            f"{late[0].question.question_id} at {late[0].question.asked_seconds:g} s of {late[0].video}; "
            "answered at the end",
            kind="warning",
        )


def _left_out(episodes: Sequence[Episode]) -> dict[str, int]:
    """Count the questions that are not asked, by reason."""
    return dict(sorted(Counter(reason for episode in episodes for reason in episode.left_out).items()))


def _listed(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{count} x {reason}" for reason, count in counts.items())

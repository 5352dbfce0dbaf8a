"""The results of an evaluation, as a JSON document and as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from hermes_stream.cli.output import milliseconds

if TYPE_CHECKING:
    from rich.console import Console

    from hermes_lab.evaluation import Marked, Prediction, Report, Score
    from hermes_lab.evaluation.scoring import DelayScore
    from hermes_stream.stream import Session

Row = tuple[str, "Score"]
_NO_SCORE = {"accuracy": None, "low": None, "high": None, "chance": None, "num_questions": 0}


def machine_of(session: Session) -> dict[str, object]:
    """Return what an evaluation runs on: versions, and the device's title."""
    from hermes_stream.cli.machine import devices, versions

    device = str(session.model.layout.device)
    titles = [place.title for place in devices() if place.name.startswith(device)]
    return {"versions": versions(), "machine": titles[0] if titles else device}


def results(marked: Marked, *, seed: int) -> dict[str, Any]:
    """Return the scores as JSON takes them.

    Args:
        marked: all answers of a run.
        seed: of the intervals.
    """
    from hermes_lab.evaluation import score

    every = [*marked.predictions, *marked.unscored]
    found: dict[str, Any] = {
        "num_videos": len({one.video for one in every}),
        "num_unscored": len(marked.unscored),
        "averages": {name: round(value, 6) for name, value in marked.averages.items()},
    }
    if not marked.predictions:
        return found | _NO_SCORE | {"accuracy_by_kind": {}, "accuracy_by_group": {}, "ttft_seconds": None}
    report = score(marked.predictions, rights=marked.rights, seed=seed)
    return found | {
        **_plain(report.overall),
        "accuracy_by_kind": {kind: _plain(own) for kind, own in report.by_kind.items()},
        "accuracy_by_group": {group: _plain(own) for group, own in report.by_group.items()},
        "accuracy_by_delay": {
            "overall": _delays(report.by_delay),
            "by_kind": {kind: _delays(own) for kind, own in report.by_delay_of_kind.items()},
            "by_group": {group: _delays(own) for group, own in report.by_delay_of_group.items()},
        },
        "ttft_seconds": round(_ttft_seconds(every), 6),
    }


def print_report(console: Console, marked: Marked, *, seed: int) -> None:
    """Print a table by kind, one against delay, the averages and the total.

    Args:
        console: where they are printed.
        marked: all answers of a run.
        seed: of the intervals.
    """
    from hermes_lab.evaluation import score

    if not marked.predictions:
        console.print(f"none of {len(marked.unscored)} answers can be scored", style="bold")
        return
    report = score(marked.predictions, rights=marked.rights, seed=seed)
    _print_table(console, "kind", [list(report.by_kind.items()), list(report.by_group.items())])
    if report.by_delay:
        console.print()
        _print_table(console, "evidence left the screen", _delay_sections(report))
    overall = report.overall
    console.print()
    for name, value in marked.averages.items():
        console.print(f"{value:8.2%}  {name}")
    console.print()
    console.print(
        f"{sum(marked.rights)} of {overall.num_questions} answers right ({overall.accuracy:.1%}; 95 %: "
        f"{_interval(overall)}; chance {overall.chance:.1%})",
        style="bold",
    )
    if marked.unscored:
        console.print(f"{len(marked.unscored)} more answers cannot be scored")


def print_time(console: Console, marked: Marked, *, took_seconds: float) -> None:
    """Print how long it took to answer, and to watch.

    Args:
        console: where it is printed.
        marked: all answers of a run.
        took_seconds: how long it took to watch and answer.
    """
    every = [*marked.predictions, *marked.unscored]
    num_videos = len({one.video for one in every})
    console.print(
        f"{milliseconds(_ttft_seconds(every))} to the first token (median); {num_videos} "
        f"{'videos' if num_videos > 1 else 'video'} in {took_seconds:.1f} s"
    )


def _ttft_seconds(predictions: Sequence[Prediction]) -> float:
    return median(one.reply.ttft_seconds for one in predictions)


def _delay_sections(report: Report) -> list[list[Row]]:
    parts = {"all": report.by_delay} | report.by_delay_of_group
    return [[(f"{name}, {_ago(one)}", one.score) for one in scores] for name, scores in parts.items()]


def _ago(one: DelayScore) -> str:
    return f"{one.from_seconds:g} to {one.until_seconds:g} s before"


def _print_table(console: Console, heading: str, sections: Sequence[Sequence[Row]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(heading)
    for name in ("right", "95 %", "chance", "questions"):
        table.add_column(name, justify="right")
    for section in filter(None, sections):
        for name, own in section:
            style = "green" if own.low is not None and own.low > own.chance else ""
            table.add_row(
                Text(name),
                Text(f"{own.accuracy:.1%}", style=style),
                _interval(own),
                f"{own.chance:.1%}",
                str(own.num_questions),
            )
        table.add_section()
    console.print(table)


def _interval(own: Score) -> str:
    return "one video" if own.low is None or own.high is None else f"{own.low:.1%} to {own.high:.1%}"


def _plain(own: Score) -> dict[str, Any]:
    numbers = {"accuracy": own.accuracy, "low": own.low, "high": own.high, "chance": own.chance}
    rounded = {name: None if number is None else round(number, 6) for name, number in numbers.items()}
    return rounded | {"num_questions": own.num_questions}


def _delays(scores: Sequence[DelayScore]) -> list[dict[str, Any]]:
    return [
        {"from_seconds": one.from_seconds, "until_seconds": one.until_seconds, **_plain(one.score)}
        for one in scores
    ]

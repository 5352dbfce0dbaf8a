"""The tables of ``hermes eval``, ``hermes score`` and ``hermes compare``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from hermes_lab.evaluation.bootstrap import MIN_VIDEOS
from hermes_stream.cli.output import milliseconds, size

if TYPE_CHECKING:
    from rich.console import Console

    from hermes_lab.evaluation import Graded, Report, Score
    from hermes_lab.evaluation.comparison_scores import PolicyScores, SkippedPolicy
    from hermes_lab.evaluation.scoring import DelayScore

Row = tuple[str, "Score"]
_MAX_SECONDS_SHOWN = 7200.0
_AVERAGES = {
    "tasks": "mean over kinds, each counting the same",
    "ovo_backward": "mean over OVO-Bench's backward tasks",
    "ovo_realtime": "mean over its real-time tasks",
    "ovo_forward": "mean over its forward tasks",
    "ovo_realtime_backward": "mean of the two, as papers without forward tasks print it",
    "ovo": "mean of the three, as its own paper prints it",
}


def print_run(console: Console, graded: Graded, *, seed: int, took_seconds: float | None = None) -> None:
    """Print a table of kinds and groups, one against delay, the averages, the total and times.

    Args:
        console: where they are printed.
        graded: all answers of a run.
        seed: of the intervals.
        took_seconds: how long it took to watch and answer; None prints no times.
    """
    if graded.scored:
        _print_scored(console, graded, seed)
    else:
        console.print(f"none of {len(graded.unscored)} answers can be scored", style="bold")
    if took_seconds is not None:
        from hermes_lab.evaluation.predictions import first_token_seconds

        first = first_token_seconds(graded.predictions)
        shown = f"{milliseconds(median(first))} to the first token (median); " if first else ""
        num_videos = len({one.video for one in graded.predictions})
        console.print(f"{shown}{_videos(num_videos)} in {took_seconds:.1f} s")


def _print_scored(console: Console, graded: Graded, seed: int) -> None:
    from hermes_lab.evaluation import score

    report = score(graded.scored, rights=graded.rights, seed=seed)
    _print_scores(console, "kind", [list(report.by_kind.items()), list(report.by_group.items())])
    if report.by_delay:
        console.print()
        _print_scores(console, "evidence left the screen", _delay_sections(report))
    console.print()
    _print_averages(console, graded)
    overall = report.overall
    console.print(
        f"{sum(graded.rights)} of {overall.num_questions} answers right ({overall.accuracy:.1%}; 95 %: "
        f"{_interval(overall)}; chance {overall.chance:.1%})",
        style="bold",
    )
    if graded.unscored:
        console.print(f"{len(graded.unscored)} more answers cannot be scored")


def _print_averages(console: Console, graded: Graded) -> None:
    """Print the averages beside that over all questions, which is told with the total, and what each is."""
    shown = {name: value for name, value in graded.averages.items() if name in _AVERAGES}
    if "ovo_backward" not in shown and "ovo_realtime" not in shown and "ovo_forward" not in shown:
        shown = {name: value for name, value in shown.items() if _num_kinds(graded) > 1}
    for name, value in shown.items():
        console.print(f"{value:8.2%}  {name}: {_AVERAGES[name]}")
    if proactive := graded.proactive:
        console.print(
            f"{proactive.num_in_time} of {proactive.num_questions} proactive answers in time, "
            f"{proactive.num_right_output} with the right output"
        )
    if shown or graded.proactive:
        console.print()


def _num_kinds(graded: Graded) -> int:
    return len({one.question.kind for one in graded.scored})


def print_comparison(
    console: Console, scores: Sequence[PolicyScores], skipped: Sequence[SkippedPolicy], *, reference: str
) -> None:
    """Print accuracy, what it costs, differences to the reference, and accuracy against delay.

    Args:
        console: where they are printed.
        scores: those of each policy.
        skipped: policies that are not compared.
        reference: the policy that others are compared with.
    """
    if scores:
        groups = list(scores[0].report.by_group)
        _print_accuracy(console, scores, groups)
        compared = [one for one in scores if one.report.overall.difference is not None]
        if compared:
            _print_heading(console, f"minus {reference}, in points, on the same questions")
            _print_policies(
                console, compared, [*groups, "all"], lambda one: map(_points, _parts(one, groups))
            )
        if scores[0].report.by_delay:
            _print_delays(console, scores)
        _print_heading(console, "what it takes")
        columns = ["most kept", "device", "host", "TTFT", "time a video"]
        _print_policies(console, scores, columns, _costs)
    for one in skipped:
        budget = "" if one.budget_tokens is None else f" with {one.budget_tokens} tokens"
        text = f"{one.policy}{budget} is not compared ({_videos(one.num_videos)}): {one.reason}"
        console.print(Text(f"\n{text}", style="yellow"))


def _print_accuracy(console: Console, scores: Sequence[PolicyScores], groups: Sequence[str]) -> None:
    def cells(one: PolicyScores) -> list[str]:
        return [_accuracy(part) for part in _parts(one, groups)]

    chances = [f"{part.chance:.1%}" for part in _parts(scores[0], groups)]
    guesser: list[str | Text] = [Text("a guesser", style="dim"), "", *chances]
    _print_policies(console, scores, [*groups, "all"], cells, last=guesser)
    overall, by_group = scores[0].report.overall, scores[0].report.by_group
    counts = ", ".join(f"{part.num_questions} {name}" for name, part in by_group.items())
    what = f"{overall.num_questions} questions{f' ({counts})' if counts else ''}"
    brackets = "in brackets 95 % of a bootstrap over videos"
    if any(part.no_interval for part in (*by_group.values(), overall)):
        brackets = f"no interval where there are fewer than {MIN_VIDEOS} videos"
    console.print(f"{what} about {_videos(scores[0].num_videos)}; {brackets}")
    if scores[0].num_unscored:
        console.print(f"{scores[0].num_unscored} more questions cannot be scored")


def _print_delays(console: Console, scores: Sequence[PolicyScores]) -> None:
    def bins(one: PolicyScores) -> Sequence[DelayScore]:
        return one.report.by_delay_of_group.get("backward", one.report.by_delay)

    is_backward = "backward" in scores[0].report.by_delay_of_group
    part = "backward" if is_backward else "overall"
    _print_heading(console, f"{part}, by the time since the evidence left the screen")
    _print_policies(
        console,
        scores,
        [_span(one) for one in bins(scores[0])],
        lambda one: [f"{own.score.accuracy:.0%}" for own in bins(one)],
        last=["questions", "", *(str(own.score.num_questions) for own in bins(scores[0]))],
    )


def _costs(one: PolicyScores) -> list[str]:
    return [
        str(one.num_visual_tokens_kept),
        size(one.cache_bytes),
        size(one.host_bytes),
        milliseconds(one.ttft_seconds),
        f"{one.took_seconds:.1f} s",
    ]


def _print_heading(console: Console, text: str) -> None:
    console.print(f"\n{text}", style="bold")


def _print_policies(
    console: Console,
    scores: Sequence[PolicyScores],
    columns: Sequence[str],
    cells: Callable[[PolicyScores], Sequence[str | Text] | map[Text]],
    *,
    last: Sequence[str | Text] = (),
) -> None:
    """Print a table with a row for each policy."""
    table = _table("policy", ["tokens", *columns])
    for one in scores:
        budget = "all" if one.budget_tokens is None else str(one.budget_tokens)
        table.add_row(Text(one.policy), budget, *cells(one))
    if last:
        table.add_row(*last)
    console.print(table)


def _print_scores(console: Console, heading: str, sections: Sequence[Sequence[Row]]) -> None:
    table = _table(heading, ["right", "95 %", "chance", "questions"])
    for section in filter(None, sections):
        for name, own in section:
            is_above = own.no_interval is None and own.low is not None and own.low > own.chance
            style = "green" if is_above else ""
            table.add_row(
                Text(name),
                Text(f"{own.accuracy:.1%}", style=style),
                _interval(own),
                f"{own.chance:.1%}",
                str(own.num_questions),
            )
        table.add_section()
    console.print(table)


def _table(first: str, others: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _delay_sections(report: Report) -> list[list[Row]]:
    parts = {"all": report.by_delay} | report.by_delay_of_group
    return [[(f"{name}, {_ago(one)}", one.score) for one in scores] for name, scores in parts.items()]


def _ago(one: DelayScore) -> str:
    return f"{one.from_seconds:g} to {one.until_seconds:g} s before"


def _interval(own: Score) -> str:
    if own.no_interval is not None or own.low is None or own.high is None:
        return _too_few(own)
    return f"{own.low:.1%} to {own.high:.1%}"


def _too_few(own: Score) -> str:
    return "1 video, too few" if own.num_videos == 1 else f"{own.num_videos} videos, too few"


def _parts(one: PolicyScores, groups: Sequence[str]) -> list[Score]:
    return [*(one.report.by_group[group] for group in groups), one.report.overall]


def _points(part: Score) -> Text:
    """Write a difference, coloured where its interval excludes zero."""
    own = part.difference
    if own is None:
        return Text("")
    if part.no_interval is not None or own.low is None or own.high is None:
        return Text(f"{100 * own.value:+.1f}")
    style = "green" if own.low > 0 else "red" if own.high < 0 else ""
    return Text(f"{100 * own.value:+.1f} ({100 * own.low:+.1f} {100 * own.high:+.1f})", style=style)


def _accuracy(part: Score) -> str:
    if part.no_interval is not None or part.low is None or part.high is None:
        return f"{100 * part.accuracy:.1f}"
    return f"{100 * part.accuracy:.1f} ({100 * part.low:.1f} {100 * part.high:.1f})"


def _videos(count: int) -> str:
    return "1 video" if count == 1 else f"{count} videos"


def _span(one: DelayScore) -> str:
    if one.until_seconds > _MAX_SECONDS_SHOWN:
        return f"{one.from_seconds / 3600:.1f}-{one.until_seconds / 3600:.1f} h"
    return f"{one.from_seconds:g}-{one.until_seconds:g} s"

"""The tables of ``hermes compare``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from hermes_stream.cli.output import milliseconds, size

if TYPE_CHECKING:
    from rich.console import Console

    from hermes_lab.evaluation.bootstrap import Estimate
    from hermes_lab.evaluation.comparison_scores import DelayPart, Part, Skipped, Standing


def print_standings(
    console: Console, standings: Sequence[Standing], skipped: Sequence[Skipped], *, reference: str
) -> None:
    """Print accuracy, what it costs, differences to the reference, and accuracy against delay.

    Args:
        console: where they are printed.
        standings: how each memory does.
        skipped: memories that are not compared.
        reference: the policy that others are compared with.
    """
    if standings:
        groups = list(standings[0].by_group)
        _print_accuracy(console, standings, groups)
        if any(one.overall.difference for one in standings):
            console.print(f"\nminus {reference}, in points, on the same questions", style="bold")
            _print_differences(console, standings, groups)
        for group in (name for name in ("backward", "overall") if standings[0].by_delay.get(name)):
            console.print(f"\n{group}, by the time since the evidence left the screen", style="bold")
            _print_delays(console, standings, group)
            break
        console.print("\nwhat it takes", style="bold")
        _print_costs(console, standings)
    for one in skipped:
        budget = "" if one.budget_tokens is None else f" with {one.budget_tokens} tokens"
        text = f"{one.policy}{budget} is not compared ({_videos(one.num_videos)}): {one.reason}"
        console.print(Text(f"\n{text}", style="yellow"))


def _table(first: str, others: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _print_accuracy(console: Console, standings: Sequence[Standing], groups: Sequence[str]) -> None:
    table = _table("policy", ["tokens", *groups, "all"])
    for one in standings:
        table.add_row(
            Text(one.policy),
            "all" if one.budget_tokens is None else str(one.budget_tokens),
            *(_share(part.accuracy) for part in _parts(one, groups)),
        )
    chances = (f"{part.chance:.1%}" for part in _parts(standings[0], groups))
    table.add_row(Text("a guesser", style="dim"), "", *chances)
    console.print(table)
    first = standings[0]
    counts = ", ".join(f"{part.num_questions} {name}" for name, part in first.by_group.items())
    console.print(
        f"{first.overall.num_questions} questions ({counts}) about {_videos(first.num_videos)}; "
        "in brackets 95 % of a bootstrap over videos"
    )


def _print_costs(console: Console, standings: Sequence[Standing]) -> None:
    table = _table("policy", ["tokens", "most kept", "device", "host", "TTFT", "time a video"])
    for one in standings:
        table.add_row(
            Text(one.policy),
            "all" if one.budget_tokens is None else str(one.budget_tokens),
            str(one.num_visual_tokens_kept),
            size(one.cache_bytes),
            size(one.host_bytes),
            milliseconds(one.ttft_seconds),
            f"{one.took_seconds:.1f} s",
        )
    console.print(table)


def _print_differences(console: Console, standings: Sequence[Standing], groups: Sequence[str]) -> None:
    table = _table("policy", ["tokens", *groups, "all"])
    for one in standings:
        if one.overall.difference is not None:
            table.add_row(
                Text(one.policy),
                "all" if one.budget_tokens is None else str(one.budget_tokens),
                *(_points(part.difference) for part in _parts(one, groups)),
            )
    console.print(table)


def _print_delays(console: Console, standings: Sequence[Standing], group: str) -> None:
    spans = [_span(one) for one in standings[0].by_delay[group]]
    table = _table("policy", ["tokens", *spans])
    for one in standings:
        table.add_row(
            Text(one.policy),
            "all" if one.budget_tokens is None else str(one.budget_tokens),
            *(f"{own.part.accuracy.value:.0%}" for own in one.by_delay[group]),
        )
    table.add_row("questions", "", *(str(own.part.num_questions) for own in standings[0].by_delay[group]))
    console.print(table)


def _parts(one: Standing, groups: Sequence[str]) -> list[Part]:
    return [*(one.by_group[group] for group in groups), one.overall]


def _share(own: Estimate) -> str:
    return _with_interval(own, lambda value: f"{value * 100:.1f}")


def _points(own: Estimate | None) -> Text:
    """Write a difference, coloured where its interval is on one side of nothing."""
    if own is None:
        return Text("")
    style = ""
    if own.low is not None and own.high is not None:
        style = "green" if own.low > 0 else "red" if own.high < 0 else ""
    return Text(_with_interval(own, lambda value: f"{value * 100:+.1f}"), style=style)


def _with_interval(own: Estimate, write: Callable[[float], str]) -> str:
    if own.low is None or own.high is None:
        return f"{write(own.value)} (one video)"
    return f"{write(own.value)} ({write(own.low)} {write(own.high)})"


def _videos(count: int) -> str:
    return "1 video" if count == 1 else f"{count} videos"


def _span(one: DelayPart) -> str:
    if one.until_seconds > 7200:
        return f"{one.from_seconds / 3600:.1f}-{one.until_seconds / 3600:.1f} h"
    return f"{one.from_seconds:g}-{one.until_seconds:g} s"

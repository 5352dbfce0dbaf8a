"""The demo's table, printed row by row while the stream plays, and its totals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Literal, final

from rich.table import Table
from rich.text import Text

from hermes_stream.cli.output import clock, milliseconds, size
from hermes_stream.synthetic.questions import KIND_GROUPS

if TYPE_CHECKING:
    from rich.console import Console

    from hermes_lab.evaluation import Prediction
    from hermes_stream.stream import SessionStats

_WIDE = 110
_BAR_CELLS = 20
_FIXED_CELLS = 5 + 12 + 5 + 1 + 6


@final
class Scoreboard:
    """A table whose rows appear one by one; long cells wrap where the terminal is narrow.

    Args:
        console: where it is printed.
        rival: name of the policy that answers beside; None where there is none.
    """

    def __init__(self, console: Console, *, rival: str | None = None) -> None:
        self.console = console
        self._rival = rival
        self._gap = 2 if console.width >= _WIDE else 1
        beside = max(len(rival), 6) if rival else 0
        room = console.width - _FIXED_CELLS - beside - 8 * self._gap
        answer = min(max(room * 22 // 85, 8), 23)
        question = min(max(room - 2 * answer, 12), 44)
        self._columns: list[tuple[str, int, Literal["left", "right"]]] = [
            ("time", 5, "right"),
            ("kind", 12, "left"),
            ("question", question, "left"),
            ("gone", 5, "right"),
            ("answer", answer, "left"),
            ("", 1, "left"),
            ("truth", answer, "left"),
            ("TTFT", 6, "right"),
        ]
        if rival:
            self._columns.append((rival, beside, "left"))

    def print_heading(self) -> None:
        """Print the names of the columns."""
        self._print([Text(name, style="bold") for name, _, _ in self._columns])

    def print_row(self, one: Prediction, other: Prediction | None) -> None:
        """Print one question with its answer, the truth, and whether the rival was right."""
        delay_seconds = one.question.delay_seconds
        cells = [
            Text(clock(one.question.asked_seconds)),
            Text(_words(one.question.kind)),
            Text(one.question.text),
            Text(clock(delay_seconds) if delay_seconds else "", style="dim"),
            Text(one.reply.text or "(no answer)", style=_style(one)),
            _mark(one),
            Text(one.question.answer),
            Text(milliseconds(one.reply.ttft_seconds)),
        ]
        self._print([*cells, _mark(other)] if other is not None else cells)

    def _print(self, cells: list[Text]) -> None:
        grid = Table.grid(padding=(0, self._gap, 0, 0))
        for _, width, justify in self._columns:
            grid.add_column(width=width, justify=justify, overflow="fold")
        grid.add_row(*cells)
        self.console.print(grid)


def print_totals(
    console: Console,
    asked: Sequence[Prediction],
    other: Sequence[Prediction],
    stats: SessionStats,
    *,
    watched_seconds: float,
    took_seconds: float,
) -> None:
    """Print right answers by group of kinds, then what the memory held and how fast it was.

    Args:
        console: where they are printed.
        asked: all questions with their answers.
        other: the same with the rival's answers, empty where there is none.
        stats: the session at the end of the stream.
        watched_seconds: length of the stream.
        took_seconds: how long it took to watch and answer.
    """
    console.print()
    console.print(_bars(asked, other))
    num_right, num_asked = sum(one.is_right for one in asked), len(asked)
    kept, seen = stats.num_visual_tokens_kept, stats.num_visual_tokens_seen
    beside = f"; the rival has {sum(one.is_right for one in other)}" if other else ""
    console.print()
    console.print(
        f"{num_right} of {num_asked} answers right ({num_right / num_asked:.0%}){beside}", style="bold"
    )
    console.print(
        f"{kept} of {seen} visual tokens kept ({kept / seen:.0%}), in a cache of {size(stats.cache_bytes)}"
    )
    ttft_seconds = median(one.reply.ttft_seconds for one in asked)
    console.print(
        f"{milliseconds(ttft_seconds)} to the first token (median); {clock(watched_seconds)} of video "
        f"in {took_seconds:.1f} s"
    )
    console.print(
        "gone: how long the oldest evidence had left the screen when the question came", style="dim"
    )


def _bars(asked: Sequence[Prediction], other: Sequence[Prediction]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for group, kinds in KIND_GROUPS.items():
        row: list[Text] = [Text(group)]
        for predictions in filter(None, (asked, other)):
            own = [one for one in predictions if one.question.kind in kinds]
            if own:
                num_right = sum(one.is_right for one in own)
                filled = round(_BAR_CELLS * num_right / len(own))
                bar = Text.assemble(("█" * filled, "green"), ("░" * (_BAR_CELLS - filled), "dim"))
                row += [Text(f"{num_right} of {len(own)} right"), bar]
        grid.add_row(*row)
    return grid


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _style(one: Prediction) -> str:
    return "green" if one.is_right else "red"


def _mark(one: Prediction) -> Text:
    return Text("✓" if one.is_right else "✗", style=_style(one))

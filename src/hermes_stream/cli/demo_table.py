"""The demo's table, printed row by row while the stream plays, and its totals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Literal, final

from rich.table import Table
from rich.text import Text

from hermes_stream.cli.output import clock, encodes, mark, milliseconds, size
from hermes_stream.synthetic.questions import KIND_GROUPS
from hermes_stream.synthetic.recording import Graded, of_kinds

if TYPE_CHECKING:
    from rich.console import Console

    from hermes_stream.stream import SessionStats

_WIDE = 110
_MIN_TABLE_CELLS = 88
_BAR_CELLS, _SHORT_BAR_CELLS = 20, 6
_FIXED_CELLS = 5 + 12 + 5 + 1 + 6


@final
class AnswerTable:
    """A table whose rows appear one by one; where the terminal is narrow, a few lines for each row.

    Args:
        console: where it is printed.
        rival: name of the policy that answers beside; None where there is none.
    """

    def __init__(self, console: Console, *, rival: str | None = None) -> None:
        self.console = console
        self._rival = rival
        self._is_narrow = console.width < _MIN_TABLE_CELLS
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
            ("", len(mark(is_right=True)), "left"),
            ("truth", answer, "left"),
            ("TTFT", 6, "right"),
        ]
        if rival:
            self._columns.append((rival, beside, "left"))

    def print_heading(self) -> None:
        """Print the names of the columns."""
        if not self._is_narrow:
            self._print([Text(name, style="bold") for name, _, _ in self._columns])

    def print_row(self, one: Graded, other: Graded | None) -> None:
        """Print one question with its answer, the truth, and whether the rival was right."""
        if self._is_narrow:
            self._print_lines(one, other)
            return
        question, given = one.question, one.given
        cells = [
            Text(clock(question.asked_seconds)),
            Text(question.kind.replace("_", " ")),
            Text(question.text),
            Text(clock(question.delay_seconds) if question.delay_seconds else "", style="dim"),
            Text(given.text or "(no answer)", style=_style(one)),
            _mark(one),
            Text(question.answer),
            Text(milliseconds(given.answer.ttft_seconds)),
        ]
        self._print([*cells, _mark(other)] if other is not None else cells)

    def _print_lines(self, one: Graded, other: Graded | None) -> None:
        question, answer = one.question, one.given.text or "(no answer)"
        truth = "" if one.is_right else f", truth: {question.answer}"
        gone = f", gone {clock(question.delay_seconds)}" if question.delay_seconds else ""
        beside: list[str | Text] = [] if other is None else [f", {self._rival} ", _mark(other)]
        self.console.print(Text(f"{clock(question.asked_seconds):>5}  {question.text}"))
        line = Text.assemble(" " * 7, _mark(one), " ", (answer, _style(one)), truth, gone, *beside)
        self.console.print(line)

    def _print(self, cells: list[Text]) -> None:
        grid = Table.grid(padding=(0, self._gap, 0, 0))
        for _, width, justify in self._columns:
            grid.add_column(width=width, justify=justify, overflow="fold")
        grid.add_row(*cells)
        self.console.print(grid)


def print_totals(
    console: Console,
    graded: Sequence[Graded],
    rival: Sequence[Graded],
    stats: SessionStats,
    *,
    watched_seconds: float,
    took_seconds: float,
) -> None:
    """Print right answers by group of kinds, then what the memory held and how fast it was.

    Args:
        console: where they are printed.
        graded: all questions with their answers.
        rival: the same with the rival's answers, empty where there is none.
        stats: the session at the end of the stream.
        watched_seconds: how much of it was watched.
        took_seconds: how long it took to watch and answer.
    """
    console.print()
    console.print(_bars(console, graded, rival))
    num_right, num_asked = sum(one.is_right for one in graded), len(graded)
    kept, seen = stats.num_visual_tokens_kept, stats.num_visual_tokens_seen
    beside = f"; the rival has {sum(one.is_right for one in rival)}" if rival else ""
    console.print()
    console.print(
        f"{num_right} of {num_asked} answers right ({num_right / num_asked:.0%}){beside}", style="bold"
    )
    console.print(
        f"{kept} of {seen} visual tokens kept ({kept / seen:.0%}), in a cache of {size(stats.cache_bytes)}"
    )
    ttft_seconds = median(one.given.answer.ttft_seconds for one in graded)
    console.print(
        f"{milliseconds(ttft_seconds)} to the first token (median); {clock(watched_seconds)} of video "
        f"in {took_seconds:.1f} s"
    )
    console.print(
        "gone: how long the oldest evidence had left the screen when the question came", style="dim"
    )


def _bars(console: Console, graded: Sequence[Graded], rival: Sequence[Graded]) -> Table:
    num_cells = _SHORT_BAR_CELLS if console.width < _MIN_TABLE_CELLS else _BAR_CELLS
    full, empty = ("\u2588", "\u2591") if encodes("\u2588\u2591") else ("#", ".")
    grid = Table.grid(padding=(0, 2, 0, 0))
    for group, kinds in KIND_GROUPS.items():
        row: list[Text] = [Text(group)]
        for own in filter(None, (of_kinds(graded, kinds), of_kinds(rival, kinds))):
            num_right = sum(one.is_right for one in own)
            filled = round(num_cells * num_right / len(own))
            bar = Text.assemble((full * filled, "green"), (empty * (num_cells - filled), "dim"))
            row += [Text(f"{num_right} of {len(own)} right"), bar]
        grid.add_row(*row)
    return grid


def _style(one: Graded) -> str:
    return "green" if one.is_right else "red"


def _mark(one: Graded) -> Text:
    return Text(mark(is_right=one.is_right), style=_style(one))

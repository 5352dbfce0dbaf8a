"""The demo's table, printed row by row while the stream plays, and its totals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

from rich.table import Table
from rich.text import Text

from hermes_stream.cli.output import clock, milliseconds, size

if TYPE_CHECKING:
    from rich.console import Console

    from hermes_stream.cli.episode import Asked, Score
    from hermes_stream.stream import SessionStats

_WIDE = 110
_BAR_CELLS = 20


@final
class Scoreboard:
    """A table whose rows appear one by one; long cells wrap where the terminal is narrow.

    Args:
        console: where it is printed.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._gap = 2 if console.width >= _WIDE else 1
        room = console.width - 33 - 7 * self._gap  # what the other columns and the gaps leave for three texts
        answer = min(max(room * 16 // 70, 8), 15)
        question = min(max(room - 2 * answer, 12), 38)
        self._columns: tuple[tuple[str, int, Literal["left", "right"]], ...] = (
            ("time", 5, "right"),
            ("kind", 9, "left"),
            ("question", question, "left"),
            ("answer", answer, "left"),
            ("truth", answer, "left"),
            ("", 1, "left"),
            ("TTFT", 7, "right"),
            ("kept/seen", 11, "right"),
        )

    def print_heading(self) -> None:
        """Print the names of the columns."""
        self._print([Text(name, style="bold") for name, _, _ in self._columns])

    def print_row(self, one: Asked) -> None:
        """Print one question with its answer and the truth."""
        style = "green" if one.is_right else "red"
        self._print(
            [
                Text(clock(one.question.asked_seconds)),
                Text(one.question.kind),
                Text(one.question.text),
                Text(one.answer or "(no answer)", style=style),
                Text(one.question.answer),
                Text("✓" if one.is_right else "✗", style=style),
                Text(milliseconds(one.ttft_seconds)),
                Text(f"{one.stats.num_visual_tokens_kept}/{one.stats.num_visual_tokens_seen}"),
            ]
        )

    def _print(self, cells: list[Text]) -> None:
        grid = Table.grid(padding=(0, self._gap, 0, 0))
        for _, width, justify in self._columns:
            grid.add_column(width=width, justify=justify, overflow="fold")
        grid.add_row(*cells)
        self._console.print(grid)


def print_totals(
    console: Console, score: Score, stats: SessionStats, *, watched_seconds: float, took_seconds: float
) -> None:
    """Print right answers by kind, then what the memory held and how fast it was.

    Args:
        console: where they are printed.
        score: of all questions.
        stats: the session at the end of the stream.
        watched_seconds: length of the stream.
        took_seconds: how long it took to write, watch and answer.
    """
    grid = Table.grid(padding=(0, 2, 0, 0))
    for kind, num_asked in score.num_asked.items():
        num_right = score.num_right[kind]
        filled = round(_BAR_CELLS * num_right / num_asked)
        bar = Text.assemble(("█" * filled, "green"), ("░" * (_BAR_CELLS - filled), "dim"))
        grid.add_row(Text(kind), Text(f"{num_right} of {num_asked} right"), bar)
    num_right, num_asked = sum(score.num_right.values()), sum(score.num_asked.values())
    kept, seen = stats.num_visual_tokens_kept, stats.num_visual_tokens_seen
    console.print()
    console.print(grid)
    console.print()
    console.print(f"{num_right} of {num_asked} answers right ({score.accuracy:.0%})", style="bold")
    console.print(
        f"{kept} of {seen} visual tokens kept ({kept / seen:.0%}), in a cache of {size(stats.cache_bytes)}"
    )
    console.print(
        f"{milliseconds(score.ttft_seconds)} to the first token (median); {clock(watched_seconds)} of video "
        f"in {took_seconds:.1f} s"
    )

"""What ``hermes watch`` shows while it runs: answers and events as lines, the stream's state below them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, final

from hermes_stream.cli.output import clock, is_terminal, print_json, say, screen, size
from hermes_stream.cli.serving import stream_clock
from hermes_stream.errors import OverloadedError, VideoError

if TYPE_CHECKING:
    from rich.live import Live

    from hermes_stream.service import LiveAnswer, Service, StreamStatus
    from hermes_stream.service.events import Event

NAME = "watched"
"""Of the stream, in its service."""
_TICK_SECONDS = 0.2
_WATCHES = ("alert_raised", "alert_cleared", "state_changed", "count_rose", "described")
_OF_SOURCE = ("source_state", "gap", "frames_dropped", "engine_failed", "stream_restored")
_TOLD = (*_OF_SOURCE, "watch_failed", *_WATCHES)


@final
class Watching:
    """Follows one stream of a service, and asks of it.

    Args:
        service: has the stream.
        questions: asked again and again, in this order.
        every_seconds: how often.
        as_json: whether lines are JSON documents.

    Attributes:
        answers: documents of what was answered.
        num_alerts: alerts that were raised.
    """

    def __init__(
        self, service: Service, questions: tuple[str, ...], *, every_seconds: float, as_json: bool
    ) -> None:
        self.answers: list[dict[str, Any]] = []
        self.num_alerts = 0
        self._service, self._questions = service, questions
        self._every_seconds, self._as_json = every_seconds, as_json
        self._open: list[LiveAnswer] = []
        self._due_at = time.monotonic() + every_seconds
        self._asked_last = False
        self._last_event = 0
        self._live: Live | None = None
        self._status: StreamStatus = service.stream(NAME)

    @property
    def has_failed(self) -> bool:
        """Whether the source can never be read."""
        return self._status.state == "failed"

    @property
    def done(self) -> str:
        """What was done, in words."""
        until = clock(round(self._status.newest_pts_seconds or 0))
        watches = self._status.watches
        alerts = f", {self.num_alerts} alerts" if watches is not None and watches.num_watches else ""
        return f"{self._status.num_frames} frames until {until}, {len(self.answers)} answers{alerts}"

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the state of the stream while it lasts, where somebody sits at a terminal."""
        import sys

        if self._as_json or not is_terminal(sys.stdout):
            with nullcontext():
                yield
            return
        from rich.live import Live

        with Live(console=screen(), refresh_per_second=5, transient=True) as self._live:
            yield
        self._live = None

    def run(self, *, max_new_tokens: int | None) -> None:
        """Go on until the source has ended or failed, and what was asked is answered."""
        while True:
            before, self._status = self._status, self._service.stream(NAME)
            status = self._status
            is_over = status.state in ("failed", "closed") or _is_at_the_end(before, status)
            if is_over and not self._asked_last:
                self._asked_last = True
                self._ask(max_new_tokens)
            elif time.monotonic() >= self._due_at and not self._open and not is_over:
                self._due_at = time.monotonic() + self._every_seconds
                self._ask(max_new_tokens)
            self._tell()
            if is_over and not self._open:
                return
            time.sleep(_TICK_SECONDS)

    def conclude(self, more: Mapping[str, object]) -> None:
        """Say how it ended; the last line of a JSON output."""
        status = self._status
        if self._as_json:
            document = {
                "source": status.source,
                "state": status.state,
                "reason": status.reason,
                "num_frames": status.num_frames,
                "num_dropped_frames": status.dropped.total,
                "num_gaps": status.num_gaps,
                "num_reconnections": status.num_reconnections,
                "num_answers": len(self.answers),
                "num_alerts": self.num_alerts,
                "watches": None if status.watches is None else asdict(status.watches),
                "policy": status.policy,
            }
            print_json(document | dict(more))
        else:
            reason = f" ({status.reason})" if status.reason else ""
            say(f"{status.state}{reason}: {self.done}")
            self._say_cost()

    def _say_cost(self) -> None:
        """Say what the watches took, beside what is told."""
        cost = self._status.watches
        if cost is not None and cost.milliseconds_each is not None:
            say(
                f"watches: {cost.num_asked} looks, {cost.milliseconds_each:.2f} ms each, "
                f"{100 * cost.share:.0f} % of the work; {cost.num_skipped} skipped",
                err=True,
            )

    def _ask(self, max_new_tokens: int | None) -> None:
        if self._status.state in ("failed", "closed"):
            return
        for question in self._questions:
            try:
                answer = self._service.ask(NAME, question, max_new_tokens=max_new_tokens, num_moments=0)
            except (VideoError, OverloadedError):  # nothing seen yet, or the one before is still being given
                continue
            self._open.append(answer)

    def _tell(self) -> None:
        for event in self._service.events(self._last_event, stream=NAME, kinds=_TOLD):
            self._last_event = event.id
            self._tell_event(event)
        for answer in [one for one in self._open if one.is_done]:
            self._open.remove(answer)
            self._tell_answer(answer)
        if self._live is not None:
            self._live.update(self._line())

    def _tell_event(self, event: Event) -> None:
        if event.kind in _WATCHES:
            self.num_alerts += event.kind == "alert_raised"
        if self._as_json:
            shown = {"kind": event.kind, "pts_seconds": event.pts_seconds, **event.payload}
            print_json(shown, schema="watch.event")
        elif event.kind in _WATCHES:
            told, before = event.payload, event.payload["value_before"]
            now = told["value"] or told.get("reason", "")
            change = now if before is None else f"{before} -> {now}"
            self._print(
                f"{stream_clock(event.pts_seconds):>8}  {event.kind}: {told['name']}  {change} "
                f"({told['score']:.2f})"
            )
        else:
            words = ", ".join(f"{key} {value}" for key, value in event.payload.items() if value is not None)
            self._print(f"{stream_clock(event.pts_seconds):>8}  {event.kind}: {words}")

    def _tell_answer(self, answer: LiveAnswer) -> None:
        if answer.failure is not None:
            self._print(f"          {answer.question}  failed: {answer.failure}")
            return
        document = {
            "question": answer.question,
            "answer": answer.text,
            "at_seconds": self._status.newest_pts_seconds,
            "ttft_seconds": round(answer.ttft_seconds, 6),
        }
        self.answers.append(document)
        if self._as_json:
            print_json(document, schema="watch.answer")
        else:
            at = stream_clock(self._status.newest_pts_seconds)
            self._print(f"{at:>8}  {answer.question}  {answer.text}")

    def _print(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False)
        elif not self._as_json:
            say(line)

    def _line(self) -> str:
        status = self._status
        memory = status.memory
        held = (
            "" if memory is None else f"{memory.num_visual_tokens_kept} tokens in {size(memory.cache_bytes)}"
        )
        dropped = f", {status.dropped.total} dropped" * bool(status.dropped.total)
        reason = f" ({status.reason})" if status.reason else ""
        return (
            f"{status.state}{reason}  {stream_clock(status.newest_pts_seconds)}  "
            f"{status.num_frames} frames{dropped}  lag {status.lag_seconds:.1f} s  {status.policy}: {held}"
        )


def _is_at_the_end(before: StreamStatus, now: StreamStatus) -> bool:
    """Tell whether all of a source that has ended was taken in and looked at.

    No frame waits any more but those of a chunk that has begun, which a question folds in. A frame on its way
    into the memory may be in neither number for a moment, and its look comes behind it: so nothing may have
    changed since the last time, either.
    """
    if (before.state, now.state) != ("ended", "ended") or now.memory is None:
        return False
    looks = [None if one.watches is None else one.watches.num_asked for one in (before, now)]
    is_still = before.num_frames == now.num_frames and looks[0] == looks[1]
    return is_still and now.num_waiting_frames == now.memory.num_pending_frames

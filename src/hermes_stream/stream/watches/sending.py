"""What is sent of what was noticed: snooze, schedule, cooldown, a limit an hour. Values in, values out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hermes_stream.stream.watches.events import Suppression

_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingState:
    """What was sent so far.

    Attributes:
        sent_seconds: times of what was sent within the last hour, oldest first; of the last in any case.
        snoozed_until_seconds: silence until then; None is none.
    """

    sent_seconds: tuple[float, ...] = ()
    snoozed_until_seconds: float | None = None


def decide_sending(
    state: SendingState,
    *,
    seconds: float,
    cooldown_seconds: float,
    max_per_hour: int | None,
    is_scheduled: bool = True,
) -> tuple[SendingState, Suppression | None]:
    """Return whether something is sent, and what was sent so far.

    Args:
        state: before.
        seconds: time in the stream.
        cooldown_seconds: silence after what was sent.
        max_per_hour: sent in an hour, at most; None has no limit.
        is_scheduled: whether the schedule allows it.

    Returns:
        What was sent, this included; and why it is not sent, None where it is.
    """
    reason = _reason(
        state,
        seconds=seconds,
        cooldown_seconds=cooldown_seconds,
        max_per_hour=max_per_hour,
        is_scheduled=is_scheduled,
    )
    if reason is not None:
        return state, reason
    recent = tuple(one for one in state.sent_seconds if seconds - one < _HOUR)
    if max_per_hour is None:
        recent = ()  # nobody counts them, and a busy watch would keep thousands
    return replace(state, sent_seconds=(*recent, seconds)), None


def _reason(
    state: SendingState,
    *,
    seconds: float,
    cooldown_seconds: float,
    max_per_hour: int | None,
    is_scheduled: bool,
) -> Suppression | None:
    if state.snoozed_until_seconds is not None and seconds < state.snoozed_until_seconds:
        return "snoozed"
    if not is_scheduled:
        return "schedule"
    if state.sent_seconds and seconds - state.sent_seconds[-1] < cooldown_seconds:
        return "cooldown"
    num_recent = sum(seconds - one < _HOUR for one in state.sent_seconds)
    return "max_per_hour" if max_per_hour is not None and num_recent >= max_per_hour else None

"""When an answer has become another one: values in, values out, nothing of models or clocks.

Each decision takes what was known and one look at the stream, and returns what is known now. Looks come in
order of time; they may be any time apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_MANY = 256
"""How many looks a stream's usual newness is judged by."""
_FEW = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """What is known of a yes-or-no question.

    Attributes:
        is_raised: whether the alert is on.
        since_seconds: since when yes has been likely without a break, while that must hold; else None.
        was_given: whether what must be so before was so, at the last look at which yes was not likely.
        num_times: how often yes began.
    """

    is_raised: bool = False
    since_seconds: float | None = None
    was_given: bool = True
    num_times: int = 0


def decide_alert(
    state: AlertState,
    *,
    seconds: float,
    score: float,
    raise_at: float,
    clear_at: float,
    hold_seconds: float,
    is_given: bool = True,
    may_begin: bool = True,
) -> AlertState:
    """Return the alert after a look.

    It raises when yes was likely enough at each look for as long as it must hold, and clears at once when
    yes is unlikely enough; in between it stays as it is.

    Args:
        state: before.
        seconds: time of the look.
        score: how likely yes is, in [0, 1].
        raise_at: see ``WatchRules``.
        clear_at: see ``WatchRules``.
        hold_seconds: see ``WatchRules``.
        is_given: whether what must be so before yes comes is so now.
        may_begin: whether yes may begin at this look.
    """
    if state.is_raised:
        # at equal thresholds the score that raised must not clear as well
        is_over = score <= clear_at and score < raise_at
        return AlertState(was_given=is_given, num_times=state.num_times) if is_over else state
    if score < raise_at:
        return AlertState(was_given=is_given, num_times=state.num_times)
    if not state.was_given or (state.since_seconds is None and not may_begin):
        return state  # until yes has ended, or may begin
    since = seconds if state.since_seconds is None else state.since_seconds
    holds = seconds - since >= hold_seconds
    return replace(state, is_raised=holds, since_seconds=since, num_times=state.num_times + holds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceState:
    """What is known of a question with options.

    Attributes:
        choice: index of the option that holds; None before there is one.
        candidate: index of the option that may come to hold; None where there is none.
        since_seconds: since when the candidate has been chosen without a break.
    """

    choice: int | None = None
    candidate: int | None = None
    since_seconds: float | None = None


def decide_choice(
    state: ChoiceState,
    *,
    seconds: float,
    scores: tuple[float, ...],
    raise_at: float,
    hold_seconds: float,
    only_rises: bool = False,
) -> ChoiceState:
    """Return which option holds after a look.

    Args:
        state: before.
        seconds: time of the look.
        scores: how likely each option is, in [0, 1].
        raise_at: how likely a new one must be.
        hold_seconds: for how long it must be chosen at each look.
        only_rises: never go to an option of a lower index, as counts of what came do not.
    """
    choice = max(range(len(scores)), key=scores.__getitem__)
    is_new = choice != state.choice and scores[choice] >= raise_at
    if not is_new or (only_rises and state.choice is not None and choice < state.choice):
        return ChoiceState(choice=state.choice)
    since = state.since_seconds if choice == state.candidate and state.since_seconds is not None else seconds
    if seconds - since >= hold_seconds:
        return ChoiceState(choice=choice, since_seconds=since)
    return replace(state, candidate=choice, since_seconds=since)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewnessState:
    """How new a stream has been.

    Attributes:
        newest: newness at the newest looks, oldest first.
        is_new: whether the last look was new enough.
    """

    newest: tuple[float, ...] = ()
    is_new: bool = False


def decide_newness(state: NewnessState, *, newness: float, quantile: float) -> NewnessState:
    """Return whether a chunk is new enough for its stream.

    Until a few chunks came, the first alone is.

    Args:
        state: before.
        newness: of the chunk, 0 or more.
        quantile: of the newest looks, which it must exceed; 0 takes every chunk.
    """
    past = state.newest
    if quantile == 0 or not past:
        is_new = True
    elif len(past) < _FEW:
        is_new = False
    else:
        is_new = newness > sorted(past)[min(int(quantile * len(past)), len(past) - 1)]
    return NewnessState(newest=(*past, newness)[-_MANY:], is_new=is_new)

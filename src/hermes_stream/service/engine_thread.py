"""The thread that owns the engine: it takes commands, moves frames, steps, hands out answers, and sleeps."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition, Thread, get_ident
from typing import Any, Protocol, TypeVar

from hermes_stream.errors import ClosedError, OverloadedError
from hermes_stream.service.step_budget import BusyClock, StepBudget
from hermes_stream.stream.engine import Engine
from hermes_stream.stream.stats import Stage, StageClock

log = logging.getLogger(__name__)
Result = TypeVar("Result")
_TWICE_WITHIN_SECONDS = 60.0
_COMMAND_SECONDS = 120.0


class Resident(Protocol):
    """What lives on the engine: it is called in the engine's thread alone, before and after each step."""

    def fill(self) -> bool:
        """Move frames that wait into the engine; tell whether any were."""

    def publish(self) -> None:
        """Hand out what the last step made."""

    def lose(self, reason: str) -> None:
        """Tell whoever waits that the engine has failed."""


@dataclass(slots=True)
class _Command:
    function: Callable[[Engine], Any]
    outcome: Future[Any]


class EngineThread:
    """Runs an engine, and makes a new one where it fails; if that fails at once, it stops for good.

    Args:
        make_engine: makes an engine, in this thread.
        step_seconds: how long a step may take, about.
        restore: is given a new engine after a failure, and the reason, in this thread; it opens again what
            the old one had, and registers it.
        give_up: is told, in this thread, that there will be no engine any more.
        command_seconds: how long ``run`` waits for the engine to come to a command.
        may_answer: tells whether the streams are still this engine's; None where they are nobody else's.

    Attributes:
        num_failures: how often the engine was made again.
        failure: why there is no engine any more; None where there is one.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine],
        *,
        step_seconds: float,
        restore: Callable[[Engine, Exception], None],
        give_up: Callable[[Exception], None],
        command_seconds: float = _COMMAND_SECONDS,
        may_answer: Callable[[], bool] | None = None,
    ) -> None:
        self._command_seconds, self._may_answer = command_seconds, may_answer
        self._make_engine, self._restore, self._give_up = make_engine, restore, give_up
        self._commands: deque[_Command] = deque()
        self._changed = Condition()
        self._is_woken = self._is_closing = False
        self._residents: list[Resident] = []
        self._budget = StepBudget(step_seconds)
        self.busy = BusyClock()
        self._stages = StageClock()  # outlives an engine that fails
        self.num_failures = 0
        self.failure: Exception | None = None
        self._failed_at: float | None = None
        self._thread = Thread(target=self._run, name="hermes-engine", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def frame_token_seconds(self) -> float | None:
        """What a token of a chunk took lately; None before any."""
        return self._budget.token_seconds

    @property
    def stage_seconds(self) -> dict[Stage, float]:
        """What each stage of the engine's work has taken together."""
        return dict(self._stages.seconds)

    def register(self, resident: Resident) -> None:
        """Let something live on the engine; in its thread alone."""
        self._residents.append(resident)

    def unregister(self, resident: Resident) -> None:
        """Let something live there no longer; in the engine's thread alone. Safe to repeat."""
        if resident in self._residents:
            self._residents.remove(resident)

    def submit(self, function: Callable[[Engine], Result]) -> Future[Result]:
        """Have a function called in the engine's thread, between two steps.

        Raises:
            ClosedError: there is no engine any more.
        """
        outcome: Future[Result] = Future()
        with self._changed:
            if self._is_closing or self.failure is not None:
                raise ClosedError(f"the engine has stopped: {self.failure or 'the service is closed'}")
            self._commands.append(_Command(function, outcome))
            self._changed.notify()
        return outcome

    def run(self, function: Callable[[Engine], Result]) -> Result:
        """Have a function called in the engine's thread, and wait for its result.

        Raises:
            ClosedError: there is no engine any more.
            OverloadedError: the engine has not come to it for two minutes, and will not.
        """
        if get_ident() == self._thread.ident:
            raise RuntimeError("the engine's thread would wait for itself; call the function")
        outcome = self.submit(function)
        try:
            return outcome.result(self._command_seconds)
        except TimeoutError as error:
            # what nobody waits for must not be done later: its caller was told that it was not
            if not outcome.cancel():
                return outcome.result(self._command_seconds)
            raise OverloadedError(
                f"the engine has been busy for {self._command_seconds:g} s and took nothing new; its health "
                "says since when; try again",
                retry_after_seconds=self._command_seconds,
            ) from error

    def wake(self) -> None:
        """Let the thread look for new frames."""
        if self._is_woken:  # it has not looked since the last call
            return
        with self._changed:
            self._is_woken = True
            self._changed.notify()

    def close(self) -> None:
        """Stop after the commands that wait; safe to repeat."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._engine = self._make_engine()
            self._engine.executor.stages = self._stages
        except Exception as error:
            self._stop_for_good(error)
            return
        self._budget.apply_to(self._engine)
        while not self._is_over():
            try:
                self._work()
            except Exception as error:
                log.exception("the engine has failed")
                if not self._renew(error):
                    return
        self._refuse_commands("the service is closed")

    def _is_over(self) -> bool:
        with self._changed:
            return self._is_closing and not self._commands

    def _work(self) -> None:
        """Do one round; sleep where there is nothing to do."""
        with self._changed:
            self._is_woken = False
            commands, self._commands = self._commands, deque()
        for command in commands:
            self._obey(command)
        has_moved = False
        for resident in tuple(self._residents):
            has_moved |= resident.fill()
        with self.busy.working():
            num_tokens = self._engine.num_chunk_tokens
            began = time.perf_counter()
            has_stepped = self._engine.step()
            self._budget.note(time.perf_counter() - began, self._engine.num_chunk_tokens - num_tokens)
            self._budget.apply_to(self._engine)
            if self._may_answer is not None and not self._may_answer():
                # it may have slept for long, and what it remembers may be another's by now
                self._lose_all("another replica may have the stream by now; ask again")
            if has_stepped or commands:  # a command may step, too: a snapshot ends answers that are given
                for resident in tuple(self._residents):
                    resident.publish()
        if not (commands or has_moved or has_stepped):
            with self._changed:
                self._changed.wait_for(lambda: self._commands or self._is_woken or self._is_closing)

    def _obey(self, command: _Command) -> None:
        if not command.outcome.set_running_or_notify_cancel():
            return
        try:
            result = command.function(self._engine)
        except Exception as error:
            command.outcome.set_exception(error)
        else:
            command.outcome.set_result(result)

    def _renew(self, error: Exception) -> bool:
        """Make a new engine after a failure; False where that is not to be done or fails too."""
        now = time.monotonic()
        is_twice = self._failed_at is not None and now - self._failed_at < _TWICE_WITHIN_SECONDS
        self._failed_at = now
        self._lose_all(f"the engine has failed: {error}")
        if is_twice:
            self._stop_for_good(error)
            return False
        try:
            self._engine = self._make_engine()
            self._engine.executor.stages = self._stages
            self.num_failures += 1
            self._restore(self._engine, error)
        except Exception as second:
            log.exception("the engine cannot be made again")
            self._lose_all(f"the engine has failed: {second}")
            self._stop_for_good(second)
            return False
        return True

    def _lose_all(self, reason: str) -> None:
        residents, self._residents = self._residents, []
        for resident in residents:
            resident.lose(reason)

    def _stop_for_good(self, error: Exception) -> None:
        with self._changed:
            self.failure = error
        self._refuse_commands(f"the engine has failed: {error}")
        self._give_up(error)

    def _refuse_commands(self, reason: str) -> None:
        with self._changed:
            commands, self._commands = self._commands, deque()
        for command in commands:
            if command.outcome.set_running_or_notify_cancel():
                command.outcome.set_exception(ClosedError(reason))

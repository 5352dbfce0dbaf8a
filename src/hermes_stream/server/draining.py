"""That the server is about to end: told to whoever holds a connection open, before connections are closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class Draining:
    """Tells that no new work is taken; belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def begin(self) -> None:
        """Take no new work from now on."""
        self._event.set()

    @property
    def has_begun(self) -> bool:
        """Whether no new work is taken."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Return when no new work is taken."""
        await self._event.wait()

    async def unless(self, work: Awaitable[T], *, seconds: float | None = None) -> T | None:
        """Return what something gives, or None where the server ends, or time is up, before.

        Args:
            work: is cancelled then.
            seconds: how long it may take; None is without end.
        """
        doing = asyncio.ensure_future(work)
        async with cancelled_after(doing), cancelled_after(asyncio.ensure_future(self.wait())) as ending:
            tasks: set[asyncio.Future[Any]] = {doing, ending}
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return doing.result() if doing.done() else None


@asynccontextmanager
async def cancelled_after(task: asyncio.Future[T]) -> AsyncIterator[asyncio.Future[T]]:
    """Lend a task, and end it where it goes on."""
    try:
        yield task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})

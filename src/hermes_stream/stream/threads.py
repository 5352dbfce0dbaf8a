"""Who may call: an engine and its streams belong to one thread."""

from __future__ import annotations

from threading import current_thread, get_ident

from hermes_stream.errors import ThreadError


class OneThread:
    """Refuses calls from any thread but the one that called first."""

    def __init__(self) -> None:
        self._owner: tuple[int, str] | None = None

    def check(self) -> None:
        """Check that this thread may call.

        Raises:
            ThreadError: another thread called first.
        """
        if self._owner is None:
            self._owner = (get_ident(), current_thread().name)
        elif self._owner[0] != get_ident():
            raise ThreadError(
                f"an engine and its streams belong to one thread, here {self._owner[1]!r}; "
                f"{current_thread().name!r} called; hand its thread what is to be done, for instance "
                "through a queue, or use a Session, which threads may share"
            )

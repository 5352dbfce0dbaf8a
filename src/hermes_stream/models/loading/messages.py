"""What other libraries' errors say, for messages of one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hermes_stream.errors import HermesError, ModelError


def first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of its message, where it has one."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    line = lines[0].rstrip(".: ")[:500]
    return line if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {line}"


@contextmanager
def refusing(what: str, advice: str) -> Iterator[None]:
    """Let whatever fails within become a ``ModelError``.

    Files of a checkpoint are read by libraries that raise errors of many kinds, Rust's panics included.

    Args:
        what: cannot be done, such as "read the config of model 'x'".
        advice: what to do about it.

    Raises:
        ModelError: anything failed, but with an error of this package, or because somebody interrupts.
    """
    try:
        yield
    except (HermesError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise ModelError(f"cannot {what}: {first_line(error)}; {advice}") from error

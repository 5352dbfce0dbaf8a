"""What other libraries say: their errors in one line, their bars and warnings not at all."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hermes_stream.errors import HermesError, ModelError

_TALKATIVE_ON_IMPORT = ("torchao", "torch.utils._pytree")


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


def import_transformers() -> None:
    """Import what transformers builds models with, without what other libraries say of themselves meanwhile.

    It imports torchao where that is installed, which warns of kernels that are not for this machine. Loggers
    are afterwards as they were. Whoever imported transformers before has read the warnings already.
    """
    if "transformers.modeling_utils" in sys.modules:
        return
    levels = {logger: logger.level for logger in map(logging.getLogger, _TALKATIVE_ON_IMPORT)}
    try:
        for logger in levels:
            logger.setLevel(logging.ERROR)
        import transformers.modeling_utils  # noqa: F401
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def mute_libraries() -> None:
    """Keep the libraries' own bars and warnings out of what a user reads."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub_logging.set_verbosity_error()

"""What other libraries say: their errors in one line, their bars and warnings not at all."""

from __future__ import annotations


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".: ") if lines else type(error).__name__


def mute_libraries() -> None:
    """Keep the libraries' own bars and warnings out of what a user reads."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub_logging.set_verbosity_error()

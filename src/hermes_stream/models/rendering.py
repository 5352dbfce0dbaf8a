"""Chat templates rendered within bounds of time, memory and length."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hermes_stream.errors import ModelError
from hermes_stream.models import jinja_child

_MAX_CHARACTERS = 100_000
_MAX_SECONDS = 300.0  # of a clock: a machine may be busy; what a template computes ends far earlier


def render_chat(tokenizer: Any, template: str | None, messages: Sequence[Mapping[str, Any]]) -> str:
    """Return a chat as the template writes it, up to the assistant's opening.

    Args:
        tokenizer: names special tokens, and has the template if none is given.
        template: the template, or the name of one of the tokenizer's; None takes the tokenizer's.
        messages: the chat, as transformers takes it.

    Raises:
        ModelError: the template is no template, fails, runs for long or writes too much.
    """
    try:
        source = tokenizer.get_chat_template(template)
    except Exception as error:  # transformers raises several kinds here
        raise _refusal(f"{error}") from error
    if not isinstance(source, str):
        raise _refusal(f"it is a {type(source).__name__}; accepted: a text")
    wanted = {
        "template": source,
        "messages": messages,
        "special_tokens": tokenizer.special_tokens_map,
        "max_characters": _MAX_CHARACTERS,
    }
    return _render(json.dumps(wanted, default=str))


@lru_cache(maxsize=32)
def _render(wanted: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "HF_HUB_OFFLINE": "1"}
    try:
        with TemporaryDirectory() as folder:
            written = Path(folder) / "rendered.json"
            subprocess.run(
                [sys.executable, "-P", "-W", "ignore", jinja_child.__file__, str(written)],
                input=wanted,
                env=environment,
                capture_output=True,
                encoding="utf-8",
                timeout=_MAX_SECONDS,
                check=False,
            )
            answer = json.loads(written.read_text(encoding="utf-8") if written.exists() else "")
    except subprocess.TimeoutExpired as error:
        raise _refusal(
            f"it was not rendered within {_MAX_SECONDS:g} seconds; a template that never ends is stopped far "
            "earlier, so that this machine may be too busy: try again"
        ) from error
    except OSError as error:
        raise _refusal(f"no Python can be started for it ({error})") from error
    except ValueError as error:
        raise _refusal("it runs for too long, or needs too much memory") from error
    if "error" in answer:
        raise _refusal(answer["error"])
    return str(answer["text"])


def _refusal(why: str) -> ModelError:
    return ModelError(
        f"the chat template cannot be rendered: {why}; take the template from the checkpoint again "
        f"(chat_template.jinja, chat_template.json, or chat_template in tokenizer_config.json)"
    )

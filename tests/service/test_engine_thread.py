"""The thread of the engine: what is refused is not done later."""

from __future__ import annotations

import threading

import pytest

from hermes_stream.errors import OverloadedError
from hermes_stream.service.engine_thread import EngineThread
from hermes_stream.stream.engine import Engine


def test_a_command_that_was_given_up_is_not_done_later(model):
    go_on, done = threading.Event(), []
    thread = EngineThread(
        lambda: Engine(model), step_seconds=0.1, restore=print, give_up=print, command_seconds=0.1
    )
    try:
        busy = thread.submit(lambda _: go_on.wait(10))
        with pytest.raises(OverloadedError, match="has been busy"):
            thread.run(lambda _: done.append("late"))
        go_on.set()
        busy.result(10)
    finally:
        thread.close()
    assert done == []

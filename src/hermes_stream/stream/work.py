"""Work: what a stream wants done, as a generator that asks for forwards and is sent their results.

Folding a chunk and answering a question are work. A session does its work alone; an engine does that of many
streams in shared forwards. Both see the same requests in the same order, so that answers are the same. Work
that fails or is abandoned cleans up where it stands, as any generator does.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.attention import Segment
from hermes_stream.models.visual import Features, Pixels
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.requests import EncodeRequest, ForwardRequest, Request
from hermes_stream.stream.stages import Stage

Result = TypeVar("Result")
Work = Generator[Request, Any, Result]


def look(pixels: Pixels) -> Work[Features]:
    """Have the vision tower look at pictures."""
    features: Features = yield EncodeRequest(pixels=pixels)
    return features


def read(segments: Sequence[Segment], stage: Stage, *, advances: bool = True) -> Work[None]:
    """Have the decoder read segments of one stream, all in one forward; see ``ForwardRequest``."""
    yield ForwardRequest(segments=tuple(segments), stage=stage, advances=advances)


def speak(segment: Segment) -> Work[Float[Tensor, " vocabulary"]]:
    """Have the decoder read a segment, and get the logits of the token that follows it, in float32."""
    logits: Tensor = yield ForwardRequest(segments=(segment,), stage="question", speaks=True)
    return logits


class Driver:
    """Does one piece of work, a request at a time.

    Args:
        executor: serves the requests.
        work: not begun yet.
    """

    def __init__(self, executor: Executor, work: Work[Any]) -> None:
        self._executor, self._work = executor, work
        self._request: Request | None = None
        self._is_done = False
        self.result: Any = None

    @torch.inference_mode()
    def step(self) -> bool:
        """Serve the next request and go on to the one after; False when there is none.

        An error of the forward is raised inside the work first, so that it can clean up.
        """
        if self._is_done:
            return False
        try:
            if self._request is None:
                self._request = next(self._work)
                return True
            try:
                (result,) = self._executor.serve([self._request])
            except BaseException as error:
                self._request = self._work.throw(error)
            else:
                self._request = self._work.send(result)
        except StopIteration as end:
            self._is_done, self.result = True, end.value
        except BaseException:
            self._is_done = True
            raise
        return not self._is_done

    def close(self) -> None:
        """Abandon what is left."""
        self._is_done = True
        self._work.close()


def run(executor: Executor, work: Work[Result]) -> Result:
    """Do a piece of work to its end, alone."""
    driver = Driver(executor, work)
    while driver.step():
        pass
    result: Result = driver.result
    return result

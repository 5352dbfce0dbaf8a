"""What a benchmark shows and asks: frames made from a seed, and one question of a chosen length."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from hermes_stream.errors import CapacityError
from hermes_stream.models.base import VideoModel
from hermes_stream.video.frame import Frame

Images = tuple[NDArray[np.uint8], ...]

_QUESTION_WORDS = ("what", "is", "on", "screen", "now", "and", "what", "came", "first")
_NUM_BLOCKS = 14
_NUM_IMAGES = 64
_DECODE_PASSES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Frames that repeat without end, and the question that every stream is asked.

    Attributes:
        images: uint8 RGB ``[height, width, 3]``, all of one size.
        fps: frames per second of the stream's own time.
        decode_seconds: to decode one image of an H.264 file, the median over passes; None without PyAV.
        question: its text.
        question_tokens: of the question, with all that the chat template puts around it.
        new_tokens: of each answer, at least 2.
    """

    images: Images
    fps: float
    decode_seconds: float | None
    question: str
    question_tokens: int
    new_tokens: int

    def frames(self, first: int, count: int) -> list[Frame]:
        """Return frames of the endless stream.

        Args:
            first: index of the first one, from 0.
            count: how many.
        """
        indices, images = range(first, first + count), self.images
        return [Frame(pts_seconds=k / self.fps, image=images[k % len(images)]) for k in indices]


def make_workload(
    model: VideoModel, *, image_size: int, question_tokens: int, new_tokens: int, seed: int
) -> Workload:
    """Make frames and question; frames are written as video and decoded where PyAV is installed.

    Args:
        model: counts the question's tokens and names the rate of frames.
        image_size: height and width of each frame in pixels, at least 28.
        question_tokens: wanted of the question; more where the chat template alone takes more.
        new_tokens: of each answer, at least 2.
        seed: of the images.

    Raises:
        CapacityError: question and answer do not fit the room for text.
    """
    question = make_question(model, question_tokens=question_tokens, new_tokens=new_tokens)
    fps = model.card.default_fps
    images, decode_seconds = decode_as_video(tuple(generate_images(seed, image_size)), fps=fps)
    return Workload(
        images=images,
        fps=fps,
        decode_seconds=decode_seconds,
        question=question,
        question_tokens=count_question_tokens(model, question),
        new_tokens=new_tokens,
    )


def generate_images(seed: int, size: int) -> Iterator[NDArray[np.uint8]]:
    """Yield squares of coloured blocks, one block of which changes from each image to the next."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (_NUM_BLOCKS, _NUM_BLOCKS, 3), dtype=np.uint8)
    block_of_pixel = np.arange(size) * _NUM_BLOCKS // size
    for _ in range(_NUM_IMAGES):
        blocks[tuple(rng.integers(0, _NUM_BLOCKS, 2))] = rng.integers(0, 256, 3)
        yield blocks[block_of_pixel][:, block_of_pixel]


def decode_as_video(images: Images, *, fps: float) -> tuple[Images, float | None]:
    """Send images through an H.264 file; return them decoded, and the median seconds to decode one.

    Without PyAV the images come back as they are, and None.
    """
    if find_spec("av") is None:
        return images, None
    from hermes_stream.video import FileSource, write_video

    with TemporaryDirectory() as folder:
        path = Path(folder) / "frames.mp4"
        write_video(path, images, fps=fps)
        source, passes = FileSource(path), []
        for _ in range(_DECODE_PASSES):
            began = time.perf_counter()
            images = tuple(frame.image for frame in source)
            passes.append((time.perf_counter() - began) / len(images))
    return images, median(passes)


def make_question(model: VideoModel, *, question_tokens: int, new_tokens: int) -> str:
    """Return a question of that many tokens, or of as few as the chat template allows.

    Raises:
        CapacityError: question and answer do not fit the room for text.
    """
    room, words = max_text_tokens(model), cycle(_QUESTION_WORDS)
    question = next(words)
    while (count := count_question_tokens(model, question)) < min(question_tokens, room):
        question += f" {next(words)}"
    wanted = max(count, question_tokens)
    if wanted + new_tokens > room:
        raise CapacityError(
            f"a question of {wanted} tokens and an answer of {new_tokens} do not fit the {room} tokens of "
            f"text that a stream of {model.card.name!r} has; lower question_tokens or new_tokens"
        )
    return question


def count_question_tokens(model: VideoModel, question: str) -> int:
    """Count a question's tokens, the chat template's included."""
    return len(model.chat.question_ids(question)) + len(model.video_end)


def max_text_tokens(model: VideoModel) -> int:
    """Return the room for question and answer of a session with default settings."""
    return min(2048, model.layout.max_positions // 8)


def without_stop_tokens(model: VideoModel) -> VideoModel:
    """Return the model with a chat that never ends an answer, so that all answers are equally long."""
    model = copy.copy(model)
    model.chat = replace(model.chat, stop_token_ids=frozenset())
    return model

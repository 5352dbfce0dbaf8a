"""A generated story on disk, with questions about it, for a session to watch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hermes_lab.datasets import Episode
from hermes_lab.datasets.world import as_episode, world_episode
from hermes_lab.evaluation import Prediction, SessionWatcher
from hermes_lab.evaluation.runner import run_episode
from hermes_stream.synthetic.world import World, generate_world
from hermes_stream.video import FileSource, write_video

if TYPE_CHECKING:
    from hermes_stream.stream import Session

# The file shows more than is sampled from it, as films do.
_VIDEO_FPS = 8
_VIDEO_PIXELS = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A story and what is asked about it, earliest question first."""

    world: World
    path: Path
    episode: Episode

    def play(
        self, session: Session, *, on_frame: Callable[[float], None] = lambda _: None
    ) -> Iterator[Prediction]:
        """Stream the written file into a session and ask each question at its time, in open words.

        Args:
            session: has seen nothing yet.
            on_frame: is told the time of each frame in seconds.
        """
        source = FileSource(self.path, fps=session.model.card.default_fps)
        watcher = SessionWatcher(session, short_answers=True)
        yield from run_episode(self.episode, source, watcher, on_frame=on_frame)
        session.flush()


@contextmanager
def written_story(
    seed: int, *, duration_seconds: float, num_questions: int, save: Path | None = None
) -> Iterator[Story]:
    """Write a story as a video and plan the questions about it, from a third of it on.

    Before, there is little that a memory could have forgotten.

    Args:
        seed: same seed, same story and questions.
        duration_seconds: its length in seconds.
        num_questions: how many to ask.
        save: where to keep the video; None keeps it while the context lasts.
    """
    world = generate_world(seed, duration_seconds)
    from_second = int(duration_seconds) // 3
    questions = world_episode(world, num_questions=num_questions, seed=seed, from_second=from_second)
    with TemporaryDirectory(prefix="hermes-demo-") as folder:
        path = save or Path(folder) / f"story-{seed}.mp4"
        write_video(path, world.frames(_VIDEO_FPS, size=_VIDEO_PIXELS), fps=_VIDEO_FPS)
        yield Story(world=world, path=path, episode=as_episode(world, questions, video=path.name))

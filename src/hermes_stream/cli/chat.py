"""``hermes chat``: a video plays, questions are typed meanwhile."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, final

import typer

from hermes_stream.cli.opening import open_stream, warn_of_damage
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import (
    AnswerOptions,
    JsonOption,
    MemoryOptions,
    ModelOptions,
    SourceOptions,
    SpeedOption,
    VideoArgument,
)
from hermes_stream.cli.output import clock, complain, milliseconds, print_json, size
from hermes_stream.cli.settings import memory_of, settings_of
from hermes_stream.errors import HermesError

if TYPE_CHECKING:
    from hermes_stream.cli.conversation import Conversation
    from hermes_stream.stream import Session
    from hermes_stream.video import FileSource


@expand_options
def chat(
    *,
    video: VideoArgument,
    speed: SpeedOption = 1.0,
    model: ModelOptions,
    memory: MemoryOptions,
    generation: AnswerOptions,
    reading: SourceOptions,
    json: JsonOption = False,
) -> None:
    """Play a video and type questions meanwhile, one a line.

    A question sees the video up to the moment it is typed. After the end, questions about the whole are taken
    until 'quit' or the end of standard input. Where standard input is a file or a pipe and it ends first, the
    rest of the video is watched as fast as possible.
    """
    session, source = open_stream(video, reading, model, memory)
    from hermes_stream.cli.conversation import Conversation, standard_input_lines

    transcript = Transcript(session, generation, on_standard_error=json)
    conversation = Conversation(standard_input_lines(), speed=speed, ends_with_input=sys.stdin.isatty())
    _play(conversation, transcript, session, source)
    if sys.stdin.isatty() and conversation.has_ended:
        transcript.say("\n")
    warn_of_damage(source)
    if json:
        about = settings_of(session, model, memory) | {"seed": generation.seed, "fps": source.fps}
        print_json({"video": video, **about, **memory_of(session), "answers": transcript.answers})
    if transcript.has_failed:
        raise typer.Exit(1)


@final
class Transcript:
    """Answers typed questions on the terminal, and keeps them for the document at the end.

    Args:
        session: is asked.
        generation: how answers are generated.
        on_standard_error: leave standard output to the document.

    Attributes:
        answers: the questions so far with their answers.
        has_failed: whether a question got an error instead.
    """

    def __init__(self, session: Session, generation: AnswerOptions, *, on_standard_error: bool) -> None:
        self.answers: list[dict[str, object]] = []
        self.has_failed = False
        self._session, self._generation, self._err = session, generation, on_standard_error

    def answer(self, question: str, at_seconds: float) -> None:
        """Answer one question, piece by piece as the answer is made; an error ends only this answer."""
        entry: dict[str, object] = {"question": question, "answer": None, "at_seconds": round(at_seconds, 6)}
        self.answers.append(entry)
        try:
            answer = self._session.ask(question, **asdict(self._generation))
            if not sys.stdin.isatty():
                self.say(f"> {question}\n")
            self.say(f"[{clock(at_seconds)}] ")
            for piece in answer:
                self.say(piece)
        except (HermesError, ValueError) as error:
            self.has_failed = True
            entry["error"] = str(error)
            complain(str(error))
            return
        self.say(f"  ({milliseconds(answer.ttft_seconds)} to the first token)\n")
        entry["answer"] = answer.text
        entry["ttft_seconds"] = round(answer.ttft_seconds, 6)
        entry["ttft_with_pending_seconds"] = round(answer.ttft_with_pending_seconds, 6)

    def say(self, text: str) -> None:
        """Write without a line break, at once."""
        typer.echo(text, nl=False, err=self._err)


def _play(conversation: Conversation, transcript: Transcript, session: Session, source: FileSource) -> None:
    """Play the video to its end or to 'quit', then go on with questions about the whole."""
    prompt = "> " if sys.stdin.isatty() else ""
    if prompt:
        length = "" if source.duration_seconds is None else f" {clock(source.duration_seconds)} of"
        transcript.say(f"playing{length} {source.path.name}; type a question, or quit\n{prompt}")
    newest_seconds = 0.0
    for frame in source:
        seconds = frame.pts_seconds - source.start_seconds
        for question in conversation.until(seconds):
            transcript.answer(question, newest_seconds)
            transcript.say(prompt)
        if conversation.is_over:
            return
        session.observe(frame)
        newest_seconds = seconds
    session.flush()
    if prompt:
        stats = session.stats
        transcript.say(
            f"\nthe video has ended: {stats.num_frames} frames seen, {stats.num_visual_tokens_kept} of "
            f"{stats.num_visual_tokens_seen} visual tokens kept in {size(stats.cache_bytes)}; ask on, or quit"
            f"\n{prompt}"
        )
    for question in conversation.rest():
        transcript.answer(question, newest_seconds)
        transcript.say(prompt)

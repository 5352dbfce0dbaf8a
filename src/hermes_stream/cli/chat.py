"""``hermes chat``: a video plays, questions are typed meanwhile."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, final

import typer

from hermes_stream.cli.interruption import interruptible
from hermes_stream.cli.knowledge import warn_of_narrow_model
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
from hermes_stream.cli.output import clock, complain, is_terminal, print_json, size
from hermes_stream.cli.settings import keeping_line, memory_of, settings_of

if TYPE_CHECKING:
    from hermes_stream.cli.conversation import Conversation, Line
    from hermes_stream.cli.transcript import Transcript
    from hermes_stream.stream import Session
    from hermes_stream.video import FileSource

_FIRST_LINE_SECONDS = 1.0


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
    until 'quit' or the end of standard input. '/help' tells of the commands.

    Questions may be piped in, with their times in the video: '12.5 what came first?' or '0:12 what came
    first?'. A line without a time follows the line before it. Once standard input has ended, the rest of the
    video is watched as fast as possible.
    """
    session, source = open_stream(video, reading, model, memory)
    warn_of_narrow_model(session.model)
    from hermes_stream.cli.conversation import Conversation
    from hermes_stream.cli.transcript import Transcript
    from hermes_stream.cli.typed_lines import PROMPT, edits_lines, typed_lines

    is_typed, edits = is_terminal(sys.stdin), edits_lines(on_standard_error=json)
    prompt = PROMPT if is_typed and not edits else ""  # an editor of lines draws its own
    transcript = Transcript(session, generation, on_standard_error=json, echoes=not is_typed, prompt=prompt)
    player = Player(session, source, transcript)
    with interruptible() as ending, typed_lines(player.status, on_standard_error=json) as lines:
        conversation = Conversation(
            lines,
            speed=speed,
            ends_with_input=is_typed,
            reads_times=not is_typed,
            first_line_seconds=0.0 if is_typed or speed else _FIRST_LINE_SECONDS,
        )
        if is_typed:
            player.welcome(keeping_line(memory.policy, session.policy.budget_tokens))
        player.play(conversation, tells_end=is_typed)
        if prompt and conversation.has_ended:
            transcript.say("\n")
    warn_of_damage(source)
    done = f"{len(transcript.answers)} questions asked until {clock(player.newest_seconds)} of the video"
    if json:
        about = settings_of(session, model, memory) | {"seed": generation.seed, "fps": source.fps}
        about |= memory_of(session) | {"answers": transcript.answers}
        print_json({"video": video, **about, **ending.document(done)})
    ending.leave(done)
    if transcript.has_failed:
        raise typer.Exit(1)


@final
class Player:
    """Plays a video to a session, and puts the lines that are typed meanwhile to it.

    Args:
        session: watches.
        source: the video.
        transcript: answers the lines.

    Attributes:
        newest_seconds: time of the newest frame, from the first.
    """

    def __init__(self, session: Session, source: FileSource, transcript: Transcript) -> None:
        self.newest_seconds = 0.0
        self._end_seconds: float | None = None
        self._session, self._source, self._transcript = session, source, transcript
        self._kept = ""

    def status(self) -> str:
        """Return the clock of the video and what is remembered, for the line below the prompt."""
        length = self._source.duration_seconds
        of_all = "" if length is None else f" of {clock(length)}"
        ended = "" if self._end_seconds is None else ", ended"
        return f"{clock(self.newest_seconds)}{of_all}{ended}   {self._kept}   /help"

    def welcome(self, memory: str) -> None:
        """Say what plays.

        Args:
            memory: which memory watches it.
        """
        length = self._source.duration_seconds
        of_length = "" if length is None else f" {clock(length)} of"
        self._transcript.announce(
            f"playing{of_length} {self._source.path.name}; {memory}; type a question, /help, or quit"
        )

    def play(self, conversation: Conversation, *, tells_end: bool) -> None:
        """Play the video to its end or to 'quit', then go on with questions about the whole.

        Args:
            conversation: the lines and the clock.
            tells_end: whether the end of the video is told.
        """
        session, shown_until = self._session, 0.0
        for frame in self._source:
            seconds = frame.pts_seconds - self._source.start_seconds
            for line in conversation.until(seconds):
                self._answer(line)
            if conversation.is_over:
                return
            session.observe(frame)
            self.newest_seconds, shown_until = seconds, seconds + frame.duration_seconds
            self._kept = _kept(session)
        session.flush()
        self._end_seconds, self._kept = shown_until, _kept(session)
        if tells_end:
            stats = session.stats
            self._transcript.announce(
                f"the video has ended: {stats.num_frames} frames seen, {self._kept} in "
                f"{size(stats.cache_bytes)}; ask on, or quit",
                interrupts=True,
            )
        for line in conversation.rest():
            self._answer(line)

    def _answer(self, line: Line) -> None:
        """Answer a line at its time, or with a warning at the nearest time that there is."""
        newest, asked = self.newest_seconds, line.at_seconds
        seconds = newest if asked is None else asked
        if asked is not None and asked < newest:
            complain(f"{clock(asked)} has passed; answered at {clock(newest)}", kind="warning")
            seconds = newest
        if asked is not None and self._end_seconds is not None and asked > self._end_seconds:
            seconds = self._end_seconds
            complain(
                f"{clock(asked)} is after the end of the video; answered at its end, {clock(seconds)}",
                kind="warning",
            )
        self._transcript.answer(line.text, seconds)


def _kept(session: Session) -> str:
    stats = session.stats
    return f"{stats.num_visual_tokens_kept} of {stats.num_visual_tokens_seen} visual tokens kept"

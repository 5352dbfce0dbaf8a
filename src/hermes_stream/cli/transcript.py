"""Answers to typed lines, as the terminal shows them and as the document at the end lists them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, final

from hermes_stream.cli.knowledge import warn_of_unknown_words
from hermes_stream.cli.options import AnswerOptions
from hermes_stream.cli.output import clock, complain, milliseconds, say, size
from hermes_stream.errors import HermesError

if TYPE_CHECKING:
    from hermes_stream.stream import Answer, Session

_HELP = """\
a question is answered from what the memory holds of the video so far
/memory  what the memory holds
/help    these lines
quit     leave, as /quit, exit and the end of input do
"""


def asked_back(answer: Answer) -> str:
    """Say what would have been answered, where the text is a question back; nothing where it is none."""
    return f"asks back, would have said {answer.guess!r}; " if answer.clarification else ""


@final
class Transcript:
    """Answers typed questions on the terminal, and keeps them for the document at the end.

    Args:
        session: is asked.
        generation: how answers are generated.
        on_standard_error: leave standard output to the document.
        echoes: write each question before its answer, where nobody saw it typed.
        prompt: written after each answer.

    Attributes:
        answers: the questions so far with their answers.
        has_failed: whether a question got an error instead.
    """

    def __init__(
        self,
        session: Session,
        generation: AnswerOptions,
        *,
        on_standard_error: bool,
        echoes: bool,
        prompt: str,
    ) -> None:
        self.answers: list[dict[str, object]] = []
        self.has_failed = False
        self._session, self._generation = session, generation
        self._err, self._echoes, self._prompt = on_standard_error, echoes, prompt

    def answer(self, line: str, at_seconds: float) -> None:
        """Answer a question, or carry out a command that begins with a slash.

        Args:
            line: what was typed.
            at_seconds: the moment, from the start of the video.
        """
        if self._echoes:
            self.say(f"> {line}\n")
        if line.startswith("/"):
            self._command(line)
        else:
            self._ask(line, at_seconds)
        self.say(self._prompt)

    def announce(self, text: str, *, interrupts: bool = False) -> None:
        """Write a line of its own, and the prompt again.

        Args:
            text: what is said.
            interrupts: a prompt may stand where it is written.
        """
        self.say("\n" if interrupts and self._prompt else "")
        self.say(f"{text}\n{self._prompt}")

    def say(self, text: str) -> None:
        """Write without a line break, at once."""
        say(text, end="", err=self._err)

    def _ask(self, question: str, at_seconds: float) -> None:
        """Answer one question, piece by piece as the answer is made; an error ends only this answer."""
        entry: dict[str, object] = {"question": question, "answer": None, "at_seconds": round(at_seconds, 6)}
        self.answers.append(entry)
        entry["unknown_words"] = warn_of_unknown_words(self._session.model, question)
        try:
            answer = self._session.ask(question, **asdict(self._generation))
            self.say(f"[{clock(at_seconds)}] ")
            for piece in answer:
                self.say(piece)
        except (HermesError, ValueError) as error:
            self.has_failed = True
            entry["error"] = str(error)
            complain(str(error))
            return
        self.say(f"  ({asked_back(answer)}{milliseconds(answer.ttft_seconds)} to the first token)\n")
        entry["answer"] = answer.text
        entry["clarification"], entry["guess"] = answer.clarification, answer.guess
        entry["ttft_seconds"] = round(answer.ttft_seconds, 6)
        entry["ttft_with_pending_seconds"] = round(answer.ttft_with_pending_seconds, 6)

    def _command(self, line: str) -> None:
        match line.lower():
            case "/help":
                self.say(_HELP)
            case "/memory":
                self._tell_memory()
            case _:
                self.say(f"there is no command {line!r}; /help lists them\n")

    def _tell_memory(self) -> None:
        stats, policy = self._session.stats, self._session.policy
        budget = "no bound" if policy.budget_tokens is None else f"at most {policy.budget_tokens} a layer"
        kept = f"{stats.num_visual_tokens_kept} of {stats.num_visual_tokens_seen}"
        lines = {
            "frames": f"{stats.num_frames} seen",
            "visual tokens": f"{kept} kept, {budget}",
            "compressed": f"{stats.num_compressions} times",
            "cache": size(stats.cache_bytes),
        }
        if stats.num_archived_tokens:
            lines["archive"] = f"{stats.num_archived_tokens} tokens in {size(stats.host_bytes)} of the host"
        width = max(map(len, lines))
        for name, text in lines.items():
            self.say(f"{name:{width}}  {text}\n")

"""Streaming one video to one watcher, which is asked every question at its moment.

The runner knows nothing of models: what watches and answers is a ``Watcher``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, final

from hermes_lab.datasets.episode import Episode, EvalQuestion
from hermes_lab.evaluation.polls import Polls
from hermes_lab.evaluation.predictions import Prediction, Reply
from hermes_stream.stream.playback import Source, watch_in_order
from hermes_stream.video.frame import Frame

if TYPE_CHECKING:
    from hermes_stream.stream import Session
    from hermes_stream.stream.watches import Watch

ANSWER_TOKENS = 16
_MAX_OPEN = 32
PROACTIVE_PROMPT = "{question} Is it the right moment to do that now? Answer with Yes or No and nothing else."


class Watcher(Protocol):
    """Watches one video and answers questions about what it saw so far."""

    def observe(self, frame: Frame) -> None:
        """Watch one frame."""

    def answer(self, question: EvalQuestion) -> Reply:
        """Answer one question; must not look at its truth."""

    def notices(self, question: EvalQuestion) -> bool:
        """Say whether what a proactive question waits for shows now."""


@final
class SessionWatcher:
    """A session as a watcher.

    Args:
        session: has seen nothing yet.
        short_answers: answer in words, even where there are options to choose from.
    """

    def __init__(self, session: Session, *, short_answers: bool = False) -> None:
        self._session = session
        self._short_answers = short_answers
        self._watches: dict[str, Watch] = {}

    def observe(self, frame: Frame) -> None:
        """Let the session watch one frame."""
        self._session.observe(frame)

    def answer(self, question: EvalQuestion) -> Reply:
        """Ask the session; it chooses one of the options where there are any.

        A single option is taken without asking.
        """
        if question.form == "yes_no":
            return self._probed(question)
        options = None if self._short_answers or not question.options else question.options
        if options and len(options) == 1:
            return Reply(text=options[0], option_index=0)
        asked = None if options is None else distinct_options(options)
        answer = self._session.ask(question.preamble + question.text, asked, max_new_tokens=ANSWER_TOKENS)
        text, stats = answer.text, self._session.stats
        if options is not None and answer.option_index is not None:
            text = options[answer.option_index]
        return Reply(
            text=text,
            option_index=answer.option_index,
            options_shown=options is not None,
            ttft_seconds=answer.ttft_seconds,
            num_frames=stats.num_frames,
            num_visual_tokens_seen=stats.num_visual_tokens_seen,
            num_visual_tokens_kept=stats.num_visual_tokens_kept,
            cache_bytes=stats.cache_bytes,
            host_bytes=stats.host_bytes,
        )

    def _probed(self, question: EvalQuestion) -> Reply:
        """Answer what forward tasks probe again and again, as a standing question does, read once at each."""
        self._session.flush()
        asked = question.preamble + question.text
        watch = self._session.watch(asked, name=question.question_id, raise_at=0.5)
        self._session.watches.ask_now()
        watch.close()
        stats = self._session.stats
        return Reply(
            text=str(watch.value or "no").capitalize(),
            num_frames=stats.num_frames,
            num_visual_tokens_seen=stats.num_visual_tokens_seen,
            num_visual_tokens_kept=stats.num_visual_tokens_kept,
            cache_bytes=stats.cache_bytes,
            host_bytes=stats.host_bytes,
        )

    def notices(self, question: EvalQuestion) -> bool:
        """Let a standing question tell whether the moment has come; it folds nothing in."""
        watch = self._watches.get(question.question_id)
        if watch is None:
            if len(self._watches) >= _MAX_OPEN:
                oldest = next(iter(self._watches))
                self._watches.pop(oldest).close()
            asked = PROACTIVE_PROMPT.format(question=question.text)
            watch = self._session.watch(asked, name=question.question_id, raise_at=0.5)
            self._watches[question.question_id] = watch
        self._session.watches.ask_now()
        return watch.value == "yes"


def distinct_options(options: Sequence[str]) -> list[str]:
    """Return options of which no two are the same text, for a session, which refuses a text twice.

    OVO-Bench's official files have options that read alike under two letters, of which one is right. They
    are asked as they are published: a twin gets spaces at its end, which show the model nothing. The answer
    counts by its index, and is recorded by the annotated text.
    """
    found: list[str] = []
    for k, option in enumerate(options):
        found.append(option + " " * options[:k].count(option))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A question is due; a proactive one is due several times, until it is answered.

    Attributes:
        index: which of the episode's questions.
        at_seconds: the moment of asking, or the end of the video where that came first.
        is_past_end: whether a moment after the end was asked for.
        is_last: whether the question is not due again after this.
    """

    index: int
    at_seconds: float
    is_past_end: bool
    is_last: bool


def moments_of(
    episode: Episode,
    source: Source,
    *,
    observe: Callable[[Frame], None],
    on_frame: Callable[[float], None] = lambda _: None,
) -> Iterator[Moment]:
    """Stream one video and yield when questions are due, earliest first.

    At a moment exactly the frames up to and including it were observed. The stream ends at the last moment.

    Args:
        episode: what is asked.
        source: its video.
        observe: takes one frame.
        on_frame: is called with the time of each frame, in seconds from the first.
    """
    polls = Polls(episode.questions)
    if polls.are_over:
        return
    with closing(watch_in_order(source, polls, observe=observe, on_frame=on_frame)) as watched:
        for due in watched:
            if due.is_past_end:  # the memory does not change any more, so asking once is enough
                polls.close_question()
            yield Moment(
                index=polls.index,
                at_seconds=due.at_seconds,
                is_past_end=due.is_past_end,
                is_last=polls.is_last,
            )
            if polls.are_over:
                return


def predict(episode: Episode, moment: Moment, watcher: Watcher) -> Prediction | None:
    """Ask a question that is due; None if it is proactive and the watcher waits for a later moment.

    A proactive question that is not answered at its last moment gets an empty reply.

    Args:
        episode: what is asked.
        moment: which question is due.
        watcher: has seen the video up to the moment.
    """
    question = episode.questions[moment.index]
    is_waiting = question.form == "proactive" and not watcher.notices(question)
    if is_waiting and not moment.is_last:
        return None
    return Prediction(
        video=episode.video,
        question=question,
        reply=Reply(text="") if is_waiting else watcher.answer(question),
        at_seconds=moment.at_seconds,
        is_past_end=moment.is_past_end,
    )


def run_episode(
    episode: Episode,
    source: Source,
    watcher: Watcher,
    *,
    on_frame: Callable[[float], None] = lambda _: None,
) -> Iterator[Prediction]:
    """Stream one video and yield a prediction for each question when its time has come, earliest first.

    Args:
        episode: what is asked.
        source: its video.
        watcher: has seen nothing yet.
        on_frame: is called with the time of each frame, in seconds from the first.
    """
    answered: set[int] = set()
    for moment in moments_of(episode, source, observe=watcher.observe, on_frame=on_frame):
        if moment.index not in answered and (one := predict(episode, moment, watcher)) is not None:
            answered.add(moment.index)
            yield one

"""Running a benchmark: every video is streamed once, every question asked at its moment.

The runner knows nothing of models: what watches and answers is a ``Watcher``, a fresh one for each video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol, final

from hermes_lab.datasets.choices import normal
from hermes_lab.datasets.episode import Episode, EvalQuestion
from hermes_stream.errors import CapacityError, HermesError, VideoError
from hermes_stream.stream.playback import Source, watch
from hermes_stream.video.frame import Frame

if TYPE_CHECKING:
    from hermes_stream.stream import Session

ANSWER_TOKENS = 16
PROACTIVE_PROMPT = "{question} Is it the right moment to do that now? Answer with Yes or No and nothing else."
POLL_SECONDS = 1.0
LATEST_SECONDS = 4.0
"""Proactive questions are polled every second until this long after the right moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a watcher answers.

    Attributes:
        text: the answer.
        option_index: which option was chosen; None for an answer in words of its own.
        options_shown: tells whether the options were shown, where the question has some.
        ttft_seconds: time to first token.
        num_visual_tokens_seen: visual tokens prefilled when asked.
        num_visual_tokens_kept: visual tokens in the fullest layer when asked.
    """

    text: str
    option_index: int | None = None
    options_shown: bool = True
    ttft_seconds: float = 0.0
    num_visual_tokens_seen: int = 0
    num_visual_tokens_kept: int = 0


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

    def observe(self, frame: Frame) -> None:
        """Let the session watch one frame."""
        self._session.observe(frame)

    def answer(self, question: EvalQuestion) -> Reply:
        """Ask the session; it chooses one of the options where there are any.

        A single option is taken without asking.
        """
        options = None if self._short_answers or not question.options else question.options
        if options and len(options) == 1:
            return Reply(text=options[0], option_index=0)
        answer = self._session.ask(question.preamble + question.text, options, max_new_tokens=ANSWER_TOKENS)
        text, stats = answer.text, self._session.stats
        return Reply(
            text=text,
            option_index=answer.option_index,
            options_shown=options is not None,
            ttft_seconds=answer.ttft_seconds,
            num_visual_tokens_seen=stats.num_visual_tokens_seen,
            num_visual_tokens_kept=stats.num_visual_tokens_kept,
        )

    def notices(self, question: EvalQuestion) -> bool:
        """Ask the session whether the moment has come."""
        asked = PROACTIVE_PROMPT.format(question=question.text)
        answer = self._session.ask(asked, max_new_tokens=ANSWER_TOKENS)
        return answer.text.strip().lower().startswith("yes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One question of a benchmark with what became of it.

    Attributes:
        video: the path of the video, as annotated.
        question: what was asked, with its truth.
        reply: what was answered.
        at_seconds: the moment of asking, or the end of the video where that came first.
        is_past_end: tells whether a moment after the end was asked for.
    """

    video: str
    question: EvalQuestion
    reply: Reply
    at_seconds: float
    is_past_end: bool = False

    @property
    def is_choice(self) -> bool:
        """Whether there were options to choose from, rather than words to find."""
        return bool(self.question.options) and self.reply.options_shown

    @property
    def is_right(self) -> bool:
        """Whether the right option was chosen, or the words are the truth, case and a full stop aside."""
        if self.reply.option_index is not None:
            return self.reply.option_index == self.question.answer_index
        return normal(self.reply.text) == normal(self.question.answer)


def run_episode(
    episode: Episode,
    source: Source,
    watcher: Watcher,
    *,
    on_frame: Callable[[float], None] = lambda _: None,
) -> Iterator[Prediction]:
    """Stream one video and yield a prediction for each question when its time has come, earliest first.

    A question sees exactly the frames up to and including its moment. The stream ends at the last question.

    Args:
        episode: what is asked.
        source: its video.
        watcher: has seen nothing yet.
        on_frame: is told the time of each frame, in seconds from the first.
    """
    moments = [(k, at) for k, question in enumerate(episode.questions) for at in _moments(question)]
    answered: set[int] = set()
    times = [at for _, at in moments]
    with closing(watch(source, times, observe=watcher.observe, on_frame=on_frame)) as dues:
        for due in islice(dues, len(times)):
            number, at_seconds = moments[due.index]
            if number in answered:
                continue
            question = episode.questions[number]
            is_waiting = question.form == "proactive" and not watcher.notices(question)
            if is_waiting and at_seconds < _moments(question)[-1]:
                continue
            answered.add(number)
            yield Prediction(
                video=episode.video,
                question=question,
                reply=Reply(text="") if is_waiting else watcher.answer(question),
                at_seconds=due.at_seconds,
                is_past_end=due.is_past_end,
            )


def _moments(question: EvalQuestion) -> list[float]:
    """Return when a question is asked: once, or every second where the answer must come by itself."""
    if question.form != "proactive" or question.due_seconds is None:
        return [question.asked_seconds]
    span_seconds = question.due_seconds + LATEST_SECONDS - question.asked_seconds
    num_polls = max(int(span_seconds / POLL_SECONDS), 1)
    return [question.asked_seconds + k * POLL_SECONDS for k in range(1, num_polls + 1)]


def run(
    episodes: Iterable[Episode],
    *,
    open_source: Callable[[Episode], Source],
    make_watcher: Callable[[], Watcher],
    on_progress: Callable[[float], None] = lambda _: None,
    on_failure: Callable[[Episode, HermesError], None] | None = None,
) -> Iterator[Prediction]:
    """Run episode after episode, a fresh watcher for each, and yield their predictions.

    Args:
        episodes: those without questions are passed over.
        open_source: opens the video of an episode, right before it is streamed.
        make_watcher: makes what watches one video.
        on_progress: is told how many episodes are done, with the share of the present one.
        on_failure: is told of a video that fails, and the run goes on; None stops there.

    Raises:
        VideoError: a video cannot be opened or decoded.
        CapacityError: a video is too long for a memory without a bound.
    """
    for number, episode in enumerate(episodes):
        on_progress(number)
        if not episode.questions:
            continue
        try:
            source = open_source(episode)
            told = _share(number, source.duration_seconds, on_progress)
            yield from run_episode(episode, source, make_watcher(), on_frame=told)
        except (VideoError, CapacityError) as error:
            if on_failure is None:
                raise
            on_failure(episode, error)


def _share(
    number: int, duration_seconds: float | None, on_progress: Callable[[float], None]
) -> Callable[[float], None]:
    length = duration_seconds or float("inf")
    return lambda seconds: on_progress(number + min(seconds / length, 1))

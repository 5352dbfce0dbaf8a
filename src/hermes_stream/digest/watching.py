"""A digest of a video that is watched for it: once, from its first frame to its last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hermes_stream.digest.chapters import MAX_CHAPTERS, Beginning, choose_beginnings, usual_newness
from hermes_stream.digest.newness import content_newness
from hermes_stream.digest.tag_questions import known_question, tag_question
from hermes_stream.digest.values import Chapter, Digest, DigestEvent, Picture, Summary, Tag
from hermes_stream.models.vocabulary import unknown_words
from hermes_stream.stream.session import Session
from hermes_stream.stream.watches import Watch
from hermes_stream.video.frame import Frame
from hermes_stream.video.jpeg import encode_jpeg

DESCRIBE = ("Describe in one sentence what is to be seen now.", "what is on screen now?")
SUMMARIZE = ("Sum up in a few sentences what has happened in the video so far.",)
"""Questions in words for large models first, then in words that small vocabularies have."""

NEWEST_SECONDS = 8.0
"""How far back a tag's question reads: it asks about now, and the past speaks into that (docs/watches.md)."""

_PICTURE_PIXELS = 640 * 360
_MAX_TAGS = 64
_SETTLE_SECONDS = 1.0
_SUMMARY_TOKENS = 128


class Shown(Protocol):
    """A video: its frames, from the first one on."""

    @property
    def start_seconds(self) -> float:
        """Time of the first frame, in seconds."""

    def __iter__(self) -> object:
        """Yield the frames, times increasing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestChoices:
    """How a video is summed up.

    Attributes:
        describe: asked where the stream is new; None takes words that the model has.
        tags: what is looked for; empty takes short descriptions as tags.
        is_there: asked for each tag, with ``{tag}`` for the tag as it stands; None takes words that the
            model has, and puts a tag without an article behind the one that fits.
        newest_seconds: how far back a tag's question reads from the newest frame, above 0, and the length of
            a chunk at least; None reads the whole memory, for questions about what was.
        summarize: asked at the end; None takes words that the model has, if any do.
        min_chapter_seconds: of a chapter, at least; above 0.
        max_chapters: at most; at least 1.
        max_new_tokens: of a description.

    Raises:
        ValueError: a value is out of its range.
    """

    describe: str | None = None
    tags: tuple[str, ...] = ()
    is_there: str | None = None
    newest_seconds: float | None = NEWEST_SECONDS
    summarize: str | None = None
    min_chapter_seconds: float = 10.0
    max_chapters: int = MAX_CHAPTERS
    max_new_tokens: int = 48

    def __post_init__(self) -> None:
        if not self.min_chapter_seconds > 0:
            raise ValueError(f"min_chapter_seconds must be above 0, got {self.min_chapter_seconds}")
        if not 1 <= self.max_chapters <= 1000:
            raise ValueError(f"max_chapters must be from 1 to 1000, got {self.max_chapters}")
        if self.newest_seconds is not None and not self.newest_seconds > 0:
            raise ValueError(
                f"newest_seconds must be above 0, or None for the whole memory; got {self.newest_seconds}"
            )
        if len(self.tags) > _MAX_TAGS or len(set(self.tags)) < len(self.tags):
            raise ValueError(f"tags must be up to {_MAX_TAGS} different texts, got {len(self.tags)}")
        if not all(isinstance(tag, str) and tag.strip() for tag in self.tags):
            raise ValueError(f"every tag must be a non-empty text, got {list(self.tags)!r}")
        if self.is_there is not None and "{tag}" not in self.is_there:
            raise ValueError(f"the question for tags must hold {{tag}}, got {self.is_there!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    """A moment at which a chapter may begin, and what was said a little later."""

    beginning: Beginning
    text: str
    text_seconds: float
    picture: Picture


@dataclass(slots=True, kw_only=True)
class DigestMaking:
    """Watches frames and notes where a stream is new, what is there and what is said of it.

    Attributes:
        session: has seen nothing yet; its chunks are short, and questions do not steer what it keeps.
        choices: how it is summed up.
        newness: of each chunk so far.
    """

    session: Session
    choices: DigestChoices
    newness: list[tuple[float, float]] = field(default_factory=list)
    _described: list[_Described] = field(default_factory=list)
    _pending: Beginning | None = None
    _folded_seconds: float | None = None
    _first_seconds: float | None = None
    _newest: Frame | None = None
    _watches: dict[str, Watch] = field(default_factory=dict)
    _describe: str = ""

    def __post_init__(self) -> None:
        model, choices = self.session.model, self.choices
        self._describe = choices.describe or known_question(model, DESCRIBE)
        for tag in choices.tags:
            asked = tag_question(model, tag, choices.is_there)
            newest = self._newest_seconds()
            self._watches[tag] = self.session.watch(asked, "alert", name=tag, newest_seconds=newest)

    @property
    def questions(self) -> tuple[str, ...]:
        """What is asked while frames come: for a description, and for each tag."""
        return (self._describe, *(watch.rules.question for watch in self._watches.values()))

    def _newest_seconds(self) -> float | None:
        wanted, fps = self.choices.newest_seconds, self.session.fps
        return wanted if wanted is None or fps is None else max(wanted, self.session.chunk_frames / fps)

    def take(self, frame: Frame) -> None:
        """Watch the next frame."""
        self.session.observe(frame)
        self._newest = frame
        if self._first_seconds is None:
            self._first_seconds = frame.pts_seconds
            self._pending = Beginning(seconds=frame.pts_seconds, newness=1.0)
        if not self.session.stats.num_pending_frames:
            self._note_chunk(frame.pts_seconds)

    def _note_chunk(self, seconds: float) -> None:
        newness = content_newness(self.session.cache, self._folded_seconds)
        before = [value for _, value in self.newness]
        is_first = self._folded_seconds is None
        self.newness.append((seconds, newness))
        self._folded_seconds = seconds
        if not is_first and newness > usual_newness(before[-256:]):
            pending = self._pending
            if pending is None or newness > pending.newness:
                self._pending = Beginning(seconds=seconds, newness=newness)
        if self._pending is not None and seconds >= self._pending.seconds + _SETTLE_SECONDS:
            self._say()

    def _say(self) -> None:
        """Ask what is to be seen, for the chapter that may have begun."""
        pending, frame = self._pending, self._newest
        self._pending = None
        if pending is None or frame is None:
            return
        answer = self.session.ask(self._describe, max_new_tokens=self.choices.max_new_tokens)
        jpeg = encode_jpeg(frame.image, max_pixels=_PICTURE_PIXELS)
        self._described.append(
            _Described(
                beginning=pending,
                text=answer.text.strip(),
                text_seconds=frame.pts_seconds,
                picture=Picture(stream_seconds=frame.pts_seconds, jpeg=jpeg),
            )
        )
        self._forget()

    def _forget(self) -> None:
        """Keep those candidates that may still begin a chapter: the first, and the newest ones."""
        most = 4 * self.choices.max_chapters
        if len(self._described) > 2 * most:
            first, *others = self._described
            kept = sorted(others, key=lambda one: -one.beginning.newness)[: most - 1]
            self._described = [first, *sorted(kept, key=lambda one: one.beginning.seconds)]

    def finish(self, source: str) -> Digest:
        """Return the digest of all frames so far.

        Args:
            source: what they came from.

        Raises:
            ValueError: no frame came.
        """
        if self._newest is None or self._first_seconds is None:
            raise ValueError("no frame came, so there is nothing to sum up; show at least one")
        self.session.flush()
        self._say()
        begin, end = self._first_seconds, self._newest.pts_seconds + (self._newest.duration_seconds or 0.0)
        chapters = self._chapters(begin, end)
        events, tags = self._tags(end)
        model = self.session.model
        return Digest(
            source=source,
            is_file=True,
            model=model.card.name,
            policy=type(self.session.policy).__name__,
            from_seconds=begin,
            to_seconds=end,
            chapters=chapters,
            tags=tags if self._watches else open_tags(chapters),
            summary=self._summary(chapters),
            events=events,
            counts=_counted(events),
            newness=tuple(self.newness),
        )

    def _chapters(self, begin: float, end: float) -> tuple[Chapter, ...]:
        first = self._described[0] if self._described else None
        by_seconds = {one.beginning.seconds: one for one in self._described}
        chosen = choose_beginnings(
            [one.beginning for one in self._described],
            from_seconds=begin,
            to_seconds=end,
            min_chapter_seconds=self.choices.min_chapter_seconds,
            max_chapters=self.choices.max_chapters,
            at_least=usual_newness([value for _, value in self.newness]),
        )
        starts = [begin, *(one.seconds for one in chosen)]
        told = [first, *(by_seconds[one.seconds] for one in chosen)]
        return tuple(
            Chapter(
                start_seconds=start,
                end_seconds=stop,
                newness=None if one is None else one.beginning.newness,
                text=None if one is None else one.text,
                text_seconds=None if one is None else one.text_seconds,
                picture=None if one is None else one.picture,
            )
            for start, stop, one in zip(starts, [*starts[1:], end], told, strict=True)
        )

    def _tags(self, end: float) -> tuple[tuple[DigestEvent, ...], tuple[Tag, ...]]:
        events, tags = [], []
        for text, watch in self._watches.items():
            spans: list[tuple[float, float]] = []
            since = None
            for event in watch.take_events():
                events.append(
                    DigestEvent(
                        kind=f"tag_{event.kind}",
                        stream_seconds=event.stream_seconds,
                        text=text,
                        score=event.score,
                    )
                )
                if event.kind == "raised":
                    since = event.stream_seconds
                elif since is not None:
                    spans.append((since, event.stream_seconds))
                    since = None
            if since is not None:
                spans.append((since, end))
            tags.append(Tag(text=text, spans=tuple(spans)))
        return tuple(sorted(events, key=lambda one: one.stream_seconds or 0.0)), tuple(tags)

    def _summary(self, chapters: Sequence[Chapter]) -> Summary | None:
        asked = self.choices.summarize
        if asked is None:
            fits = [text for text in SUMMARIZE if not unknown_words(self.session.model.chat.tokenizer, text)]
            asked = fits[0] if fits else None
        if asked is not None:
            text = self.session.ask(asked, max_new_tokens=_SUMMARY_TOKENS).text.strip()
            if text:
                return Summary(text=text, made_from="memory")
        return summary_of_chapters(chapters)


def digest_video(
    session: Session,
    source: Shown,
    name: str,
    choices: DigestChoices | None = None,
    *,
    on_frame: Callable[[float], None] = lambda _: None,
) -> Digest:
    """Watch a video once, and sum it up.

    Args:
        session: see ``DigestMaking``.
        source: the video.
        name: what it is called.
        choices: how it is summed up.
        on_frame: is told the time of each frame, in seconds from the first.

    Raises:
        ValueError: there is no frame.
    """
    making = DigestMaking(session=session, choices=choices or DigestChoices())
    for frame in source:  # type: ignore[attr-defined]
        making.take(frame)
        on_frame(frame.pts_seconds - source.start_seconds)
    return making.finish(name)


def open_tags(chapters: Sequence[Chapter]) -> tuple[Tag, ...]:
    """Return what chapters are said to show as tags, where that is short: each once, with its chapters."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for one in chapters:
        text = (one.text or "").strip().rstrip(".").casefold()
        if text and len(text.split()) <= 4:
            spans.setdefault(text, []).append((one.start_seconds, one.end_seconds))
    return tuple(Tag(text=text, spans=tuple(own)) for text, own in spans.items())


def summary_of_chapters(chapters: Sequence[Chapter]) -> Summary | None:
    """Return the texts of chapters one after the other, those that repeat the one before left out."""
    texts = [one.text.strip().rstrip(".") for one in chapters if one.text and one.text.strip()]
    told = [text for k, text in enumerate(texts) if k == 0 or text != texts[k - 1]]
    return Summary(text="; ".join(told) + ".", made_from="chapters") if told else None


def _counted(events: Sequence[DigestEvent]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in events:
        counts[one.kind] = counts.get(one.kind, 0) + 1
    return counts

"""A running whole without HTTP: streams with their sources, questions at any moment, a record that lasts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Event as Flag
from typing import Any

from hermes_stream.errors import ServiceError
from hermes_stream.models import load_model
from hermes_stream.models.base import VideoModel
from hermes_stream.service.events import Event
from hermes_stream.service.keys import Keys
from hermes_stream.service.live_answer import LiveAnswer
from hermes_stream.service.ownership.membership import Membership
from hermes_stream.service.pictures import read_picture
from hermes_stream.service.question_log import QuestionRecord
from hermes_stream.service.running import Running
from hermes_stream.service.settings import ServiceSettings
from hermes_stream.service.status import (
    Health,
    PushReceipt,
    RememberedMoments,
    ServiceCapacity,
    SnapshotStatus,
    StreamStatus,
)
from hermes_stream.service.stream_choices import OpenRequest
from hermes_stream.video.frame import Frame
from hermes_stream.video.sources.options import SourceOptions


class Service:
    """Watches streams and answers questions about them, on one engine in a thread of its own.

    Any thread may call; a call waits for a step of the engine at most, and for a commit. Streams that were
    open when the service ended, however that was, are open again when it begins.

    Args:
        model: a loaded model, or what ``load_model`` takes.
        data_dir: folder of the record, of pictures, snapshots and journals; made if it is not there.
        settings: options of the service, and of streams that say nothing else.
        membership: of one of several services on one record, in Postgres, and one shared folder.

    Attributes:
        model: the model.
        settings, data_dir: options of the service, and its folder.
        watches, incidents, webhooks, mqtt: standing questions, what alerts opened, who is told of it.
        record: looks back, as search, reports, clips.

    Raises:
        StoreError: the folder or the record cannot be used, or another service uses it.
        ModelError: there is no such model.
    """

    def __init__(
        self,
        model: VideoModel | str | Path,
        data_dir: Path | str,
        *,
        settings: ServiceSettings | None = None,
        membership: Membership | None = None,
    ) -> None:
        self.model = model if isinstance(model, VideoModel) else load_model(model)
        self.settings = settings or ServiceSettings()
        self._running = Running(self.model, Path(data_dir), self.settings, membership)
        self.data_dir = self._running.folder.path
        self._registry, self.record = self._running.registry, self._running.record
        self.watches, self.incidents = self._running.watches, self._running.incidents
        self.webhooks, self.mqtt = self._running.webhooks, self._running.mqtt

    def open_stream(
        self,
        name: str,
        source: Any = None,
        *,
        source_options: SourceOptions | None = None,
        allow_sources: Sequence[str] | None = None,
        private_networks: Sequence[str] = (),
        replace_source: bool = False,
        owner: int | None = None,
        changes_others: bool = True,
        temporary: bool = False,
        **choices: Any,
    ) -> StreamStatus:
        """Open a stream, or a closed one again with its memory; the same name and source are the same stream.

        Args:
            name: of the stream, which is its id.
            source: an address; a ``Source``; an iterable of frames, which waits for the engine; None where
                frames are pushed, or where the source is as it was.
            source_options: how an address is read: pace, transport, crop, mask, schedule.
            allow_sources: patterns that the address must match, now and after a restart; None trusts it.
            private_networks: networks that it may lie in, though private; see ``SourcePolicy``.
            replace_source: go on with the stream's memory though its source was another.
            owner: number of the key in whose name it is opened.
            changes_others: begin a stream of another owner again, or give it a source; else refuse that.
            temporary: keep nothing of it: it is in no record.
            **choices: fields of ``StreamSettings``: policy, budget_tokens, fps, ...; what is left out, or
                None, is as the settings of the service say.

        Raises:
            StreamExistsError: a stream of that name has another source.
            OtherOwnerError: it would change another owner's stream.
            CapacityError: there is no room for it.
            VideoError: there is no such source, or it is not allowed.
            ValueError: a value is not accepted, or does not fit the memory that the stream has.
            ClosedError: the service takes no more work.
        """
        self._running.check_open()
        request = OpenRequest(
            name=name,
            source=source,
            choices={key: value for key, value in choices.items() if value is not None},
            source_options=source_options,
            allow_sources=None if allow_sources is None else tuple(allow_sources),
            private_networks=tuple(private_networks),
            replace_source=replace_source,
            owner=owner,
            changes_others=changes_others,
        )
        served = self._registry.open_temporary(request) if temporary else self._registry.open(request)
        return self._running.status(served)

    def push_frames(
        self, name: str, frames: Frame | Iterable[Frame], *, wait_seconds: float | None = None
    ) -> PushReceipt:
        """Give frames to a stream without a source.

        Args:
            name: of the stream.
            frames: times increase; what is not later than what came before is skipped, so that a client that
                comes back may send again.
            wait_seconds: how long each may wait for room; None pushes older ones out instead.

        Raises:
            UnknownStreamError: no such stream is open.
            StreamExistsError: its frames come from a source.
            OverloadedError: there was no room in time; frames before this one are taken.
            ValueError: a frame is malformed or too large; those before it are taken.
            ClosedError: the service takes no more work.
        """
        self._running.check_open()
        return self._registry.find(name).push(frames, wait_seconds=wait_seconds)

    def ask(
        self,
        name: str,
        question: str,
        *,
        options: Sequence[str] | None = None,
        remember: bool = False,
        num_moments: int = 3,
        **sampling: Any,
    ) -> LiveAnswer:
        """Ask about a stream as it is now. What is refused is refused here, before the answer begins.

        Args:
            name: of the stream.
            question: what is asked, not empty.
            options: choices of a multiple-choice question; the answer is one of them.
            remember: let question and answer steer what the memory keeps. A stream is shared by whoever asks:
                what one of them asked decides what the others' answers can still know.
            num_moments: how many moments the answer cites, at most; 0 cites none and is a little faster.
            **sampling: fields of ``Sampling``: max_new_tokens, temperature, top_p, repetition_penalty, stop,
                seed; no more tokens than the settings allow. ``wait_seconds``, ``until``: let it wait for its
                evidence, see ``Session.ask``; it ends as "not_seen" where that did not come.

        Raises:
            UnknownStreamError: no such stream is open.
            OverloadedError: too many questions are open; says when to ask again.
            VideoError: no frame came yet.
            CapacityError: question and answer do not fit the room for text.
            ValueError: an argument is out of its range.
            ClosedError: the service takes no more work.
        """
        self._running.check_open()
        served = self._registry.find(name)
        return self._running.desk.ask(
            served, question, options, num_moments=num_moments, remember=remember, sampling=sampling
        )

    def stream(self, name: str) -> StreamStatus:
        """Return how a stream is now, open or closed.

        Raises:
            UnknownStreamError: there is none.
        """
        return self._running.status_of(self._registry.row(name))

    def streams(self, *, closed: bool = False, temporary: bool = False) -> tuple[StreamStatus, ...]:
        """Return how all open streams are now.

        Args:
            closed: the closed ones too.
            temporary: those too that are in no record.
        """
        found = self._running.statuses(closed=closed)
        return tuple(one for one in found if temporary or not one.is_temporary)

    def close_stream(self, name: str, *, delete: bool = False) -> None:
        """Close a stream: its source is left, its questions end, its memory is saved.

        Args:
            name: of the stream, which may be closed already.
            delete: delete all of it: memory, pictures, events, questions.

        Raises:
            UnknownStreamError: there is none.
        """
        self._registry.close(name, delete=delete)
        if delete:
            self._running.tell("stream_deleted", name=name)

    def rename(self, name: str, new_name: str) -> StreamStatus:
        """Give an open stream another name.

        Raises:
            UnknownStreamError: no such stream is open.
            StreamExistsError: the name is taken.
            ValueError: it is no name.
        """
        return self._running.status(self._registry.rename(name, new_name))

    def set_policy(self, name: str, policy: str, *, budget_tokens: int | None = None) -> StreamStatus:
        """Let a stream's memory keep by another policy from now on; what it remembers stays until then.

        Args:
            name: of the stream.
            policy: by name, fields behind it.
            budget_tokens: visual tokens that each layer keeps, no fewer than now; None leaves them.

        Raises:
            UnknownStreamError: no such stream is open.
            CapacityError: there is no room, or what is remembered does not fit.
            ValueError: there is no such policy.
        """
        self._running.check_open()
        return self._running.status(self._registry.set_policy(name, policy, budget_tokens))

    def events(self, after: int = 0, *, stream: str | None = None, **chosen: Any) -> tuple[Event, ...]:
        """Return events behind an id.

        Args:
            after: id; 0 is before the first.
            stream: name of the only stream; None for all.
            **chosen: kinds, since, until, limit, newest_first; see ``EventLog.read``.

        Raises:
            UnknownStreamError: there is no such stream.
            ValueError: the limit is out of its range.
        """
        return self._running.store.events.read(after, stream_id=self._id(stream), **chosen)

    def follow(
        self,
        after: int | None = None,
        *,
        stream: str | None = None,
        kinds: Sequence[str] | None = None,
        stop: Flag | None = None,
        heartbeat_seconds: float | None = None,
    ) -> Iterator[Event | None]:
        """Yield events as they come: none is missed, none comes twice; see ``EventLog.follow``.

        Raises:
            UnknownStreamError: there is no such stream.
        """
        return self._running.store.events.follow(
            after,
            stream_id=self._id(stream),
            kinds=kinds,
            stop=stop,
            heartbeat_seconds=heartbeat_seconds,
        )

    def questions(
        self, stream: str | None = None, *, before: int | None = None, limit: int = 100
    ) -> tuple[QuestionRecord, ...]:
        """Return questions and answers, the newest first; see ``QuestionLog.read``."""
        return self._running.store.questions.read(stream_id=self._id(stream), before=before, limit=limit)

    def _id(self, stream: str | None) -> int | None:
        return None if stream is None else self._registry.row(stream).id

    def snapshot(self, name: str) -> SnapshotStatus:
        """Save a stream's memory now.

        Raises:
            UnknownStreamError: no such stream is open.
            ServiceError: the stream has no memory.
        """
        saved = self._running.saving.save(self._registry.find(name), always=True)
        if saved is None:
            raise ServiceError(f"stream {name!r} has no memory to save; its status says why")
        return saved

    def snapshots(self, name: str | None = None) -> tuple[SnapshotStatus, ...]:
        """Return the snapshots of one stream or of all, oldest first; raises as ``stream`` does."""
        return self._running.store.snapshots.read(self._id(name))

    def restore(self, name: str, snapshot: int | None = None) -> StreamStatus:
        """Give a stream the memory that it had when a snapshot was saved; its clock goes on.

        Args:
            name: of the stream.
            snapshot: its number; None is the newest.

        Raises:
            UnknownStreamError: there is no such stream or snapshot.
            SnapshotError: it cannot be restored; the stream keeps its memory.
        """
        self._running.check_open()
        served = self._registry.find(name)
        saving = self._running.saving
        path = saving.path_of(saving.find(served.row.id, snapshot))
        self._registry.replace_memory(served, lambda engine: engine.restore(path))
        return self._running.status(served)

    def fork(
        self, name: str, new_name: str, snapshot: int | None = None, *, owner: int | None = None
    ) -> StreamStatus:
        """Open a second stream with a stream's memory, whose frames are pushed; each goes its own way.

        Args:
            name: of the stream, open or closed where a snapshot is named.
            new_name: of the new one.
            snapshot: its memory is of that moment; None is now.
            owner: number of the key in whose name it is opened.

        Raises:
            UnknownStreamError: there is no such stream or snapshot.
            StreamExistsError: the new name is taken.
            CapacityError: there is no room.
        """
        self._running.check_open()
        return self._running.status(self._running.fork(name, new_name, snapshot, owner))

    def delete_snapshot(self, name: str, snapshot: int) -> None:
        """Delete a snapshot; raises as ``restore`` does, and for the one that a restart needs."""
        self._running.saving.delete(self._registry.row(name).id, snapshot)

    def memory(self, name: str) -> RememberedMoments:
        """Return which moments each layer of a stream's memory keeps, with their pictures.

        Raises:
            UnknownStreamError: no such stream is open.
        """
        return self._running.moments(self._registry.find(name))

    def preview(self, name: str) -> Frame | None:
        """Return the newest frame that was due; None before the first."""
        return self._registry.find(name).preview

    def picture(self, path: str) -> bytes:
        """Return a picture that an event, an answer or the memory shows, a JPEG file.

        Raises:
            ValueError: it is no such path.
            UnknownStreamError: there is no such picture, or no more.
        """
        return read_picture(self._running.folder.pictures, path)

    @property
    def keys(self) -> Keys:
        """Who may use the service, for whoever opens it to others."""
        return self._running.store.keys

    def capacity(self) -> ServiceCapacity:
        """Return how much fits, and what limits it."""
        return self._running.capacity()

    def health(self) -> Health:
        """Return whether the service lives and takes work."""
        return self._running.health()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the service is closed; tell whether it is.

        Raises:
            ServiceError: the engine has failed twice at once: the program is to end with 1.
        """
        return self._running.wait(timeout_seconds)

    def close(self, *, drain_seconds: float = 10.0) -> None:
        """Take no new work, save all memories, and stop; safe to repeat.

        Args:
            drain_seconds: how long answers may take to end; what goes on then is given up.
        """
        self._running.close(drain_seconds)

    def __enter__(self) -> Service:
        """Return the service; it is closed where the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

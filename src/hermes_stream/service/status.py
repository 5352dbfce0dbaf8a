"""What a service says of itself and its streams, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hermes_stream.stream.stats import SessionStats, Stage
from hermes_stream.stream.watches import WatchesStats

StreamState = Literal["opening", "live", "waiting", "sleeping", "reconnecting", "ended", "failed", "closed"]
"""``waiting``: nothing sends frames now; they may be pushed, or the source given again. ``sleeping``: the
source is outside its schedule. ``ended``: a file is over, and questions are still answered. ``failed``: the
reason says why. ``closed``: not running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropCounts:
    """Frames that were due, came, and are not in the memory, by the place where they were lost.

    Attributes:
        decode: the source could not decode or keep them.
        ring: newer ones came while as many waited as may.
        engine: they could not be folded into the memory.
    """

    decode: int = 0
    ring: int = 0
    engine: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.decode + self.ring + self.engine


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReceipt:
    """What became of frames that were pushed.

    Attributes:
        newest_pts_seconds: time of the newest frame that was taken, now or before; None before the first. A
            client that comes back goes on behind it.
        num_accepted: frames that wait or are in the memory.
        num_skipped: frames that were not due, because the stream samples fewer.
        num_dropped: frames that are lost, these or older ones, because too many waited.
    """

    newest_pts_seconds: float | None
    num_accepted: int
    num_skipped: int
    num_dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """One stream, as it is now.

    Attributes:
        name: its name, which is its id.
        state: see ``StreamState``.
        reason: why it is in this state, in words; None where there is nothing to say.
        source: address of the source without user name and password; None where frames are pushed.
        policy: what its memory keeps, as it is named.
        budget_tokens: visual tokens that each layer keeps; None where the policy keeps all.
        filter: name of the token filter; None without.
        fps: frames sampled per second of the stream; None takes all.
        chunk_frames: frames that are folded in together now.
        owner: number of the key that opened it; None where nobody did with a key.
        is_temporary: whether it is in no record, and gone when it is closed.
        epoch: how often its memory has begun to go on from something else: opened, restarted, restored.
        zero_wall_seconds: wall-clock time of the stream's zero, seconds since 1970; None before a frame.
        newest_pts_seconds: time of the newest frame that came, in seconds of the stream; None before one.
        folded_until_seconds: time of the newest frame in the memory.
        restored_until_seconds: after a restart, time of the newest frame that the memory brought along; None
            where the stream has run since it was opened first.
        lag_seconds: how much older the newest frame in memory or intake is than the newest that came.
        declared_fps: of the source, as it says; None where it says nothing, or none is open.
        delivered_fps: frames a second that came lately.
        num_frames: frames taken in so far, in all epochs.
        num_skipped_frames: frames that came and were not due.
        num_waiting_frames: frames that came and are not in the memory yet.
        waiting_bytes: host memory that they take.
        dropped: frames lost, by place.
        num_gaps: pauses of the stream: reconnections, losses, silence.
        num_reconnections: how often the source was opened again.
        clock_drift_seconds: how far the source's clock has run from the wall's since it was opened; None
            where there is none to compare.
        num_open_questions: questions that wait or are being answered.
        memory: what the memory has done and holds; None where it is not running.
        watches: what standing questions did and cost since the memory has its place; None likewise.
        created_wall_seconds: when the stream was opened first, seconds since 1970.
        replica: name of the replica that has it, where several share one record.
    """

    name: str
    state: StreamState
    reason: str | None = None
    source: str | None = None
    policy: str = "hermes"
    budget_tokens: int | None = None
    filter: str | None = None
    fps: float | None = None
    chunk_frames: int = 0
    owner: int | None = None
    is_temporary: bool = False
    epoch: int = 1
    zero_wall_seconds: float | None = None
    newest_pts_seconds: float | None = None
    folded_until_seconds: float | None = None
    restored_until_seconds: float | None = None
    lag_seconds: float = 0.0
    declared_fps: float | None = None
    delivered_fps: float = 0.0
    num_frames: int = 0
    num_skipped_frames: int = 0
    num_waiting_frames: int = 0
    waiting_bytes: int = 0
    dropped: DropCounts = field(default_factory=DropCounts)
    num_gaps: int = 0
    num_reconnections: int = 0
    clock_drift_seconds: float | None = None
    num_open_questions: int = 0
    memory: SessionStats | None = None
    watches: WatchesStats | None = None
    created_wall_seconds: float = 0.0
    replica: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMoments:
    """Which moments one layer of a memory keeps.

    Attributes:
        layer_idx: of the layer.
        tier: "sensory", "working" or "long_term".
        num_tokens: visual tokens that the layer keeps, summaries included.
        num_summary_tokens: those that are of no moment.
        seconds: times of the temporal patches of which something is kept, oldest first.
        tokens_of: how many tokens are kept of each.
    """

    layer_idx: int
    tier: str
    num_tokens: int
    num_summary_tokens: int
    seconds: tuple[float, ...]
    tokens_of: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberedMoments:
    """Which moments a memory keeps, layer by layer.

    Attributes:
        layers: from the shallowest to the deepest.
        pictures: path of a picture within the folder of pictures, for each moment that has one.
    """

    layers: tuple[LayerMoments, ...]
    pictures: dict[float, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotStatus:
    """A memory on disk.

    Attributes:
        id: its number; with the stream's name it is how a snapshot is named.
        stream: name of the stream.
        epoch: of the stream when it was saved.
        pts_seconds: time of the newest frame in it; None where there was none.
        num_frames: frames that the stream had taken by then.
        num_bytes: of the file.
        created_wall_seconds: when it was saved, seconds since 1970.
        path: of the file, within the data folder.
        is_kept: whether somebody asked for it; others give way to newer ones.
    """

    id: int
    stream: str
    epoch: int
    pts_seconds: float | None
    num_frames: int
    num_bytes: int
    created_wall_seconds: float
    path: str
    is_kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCapacity:
    """How much fits, and what limits it.

    Attributes:
        num_streams: streams that run.
        max_streams: streams that are admitted at most, by setting.
        more_streams: streams like those of the default settings that still fit.
        limit: what refuses the next one, in words.
        memory_bytes: what all streams may take together; None where that is unknown.
        used_bytes: what they take at most.
        stream_bytes: what one more takes, by the default settings.
        num_open_questions: questions that wait or are being answered.
        max_open_questions: of the whole service.
        busy_share: part of the last minute that the engine worked, in [0, 1].
        frame_seconds: what a frame took lately, folded in with its share of compressions; None before any.
        stage_seconds: what each stage of the engine's work has taken since the service began: preprocess,
            encode, prefill, compress, question, decode, watch.
    """

    num_streams: int
    max_streams: int
    more_streams: int
    limit: str
    memory_bytes: int | None
    used_bytes: int
    stream_bytes: int | None
    num_open_questions: int
    max_open_questions: int
    busy_share: float
    frame_seconds: float | None
    stage_seconds: dict[Stage, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the service lives and takes work.

    Attributes:
        is_live: the engine and the record run; a supervisor restarts what is not live.
        is_ready: it takes work: live, restored, and not closing.
        reasons: what is wrong, in words; empty where nothing is.
        step_seconds: how long the engine's step that is now going on has taken; 0 when it waits.
        num_waiting_writes: rows that wait to be recorded.
        num_lost_events: events that could not be recorded.
        num_engine_failures: how often the engine was made again.
    """

    is_live: bool
    is_ready: bool
    reasons: tuple[str, ...]
    step_seconds: float
    num_waiting_writes: int
    num_lost_events: int
    num_engine_failures: int

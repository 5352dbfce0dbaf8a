"""Measure what a memory on disk takes: python results/snapshots.py; stored as ``snapshots.json``.

Both embedded models watch a story of the world; then the memory is copied, written, read and restored, and
frames go through a journal and are replayed. Times are medians; the folder is on this machine's own disk.
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from measure import FOLDER, machine

from hermes_stream import Frame, Session, Snapshot, load_model
from hermes_stream.service.change_records import ChangeWriter
from hermes_stream.service.journal import Journal, replay
from hermes_stream.stream.changes import FrameCame
from hermes_stream.synthetic.world import generate_world

NUM_FRAMES = 240
NUM_REPEATS = 15
POLICIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("hermes_paper", {}),
    ("hermes", {}),
    ("hermes_paper", {"kv_bits": 8}),
    ("window", {}),
    ("rekv_bounded", {}),
    ("recent_n", {}),
)


def median_seconds(run: Callable[[], Any]) -> float:
    """Return the median time of a call."""
    taken = []
    for _ in range(NUM_REPEATS):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def of_memory(model: Any, frames: list[Frame], policy: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return what one memory takes on disk, and what it takes to bring it back."""
    session = Session(model, policy, fps=model.card.default_fps, **options)
    session.observe(frames)
    session.ask("what is on screen now?", max_new_tokens=3).finish()
    with TemporaryDirectory() as name:
        folder = Path(name)
        path, snapshot = folder / "snapshot", session.snapshot()
        row = {
            "model": model.card.name,
            "policy": policy,
            **options,
            "num_visual_tokens_kept": session.stats.num_visual_tokens_kept,
            "cache_bytes": session.stats.cache_bytes,
            "copy_seconds": median_seconds(session.snapshot),
            "write_seconds": median_seconds(lambda: snapshot.write(path)),
            "snapshot_bytes": path.stat().st_size,
            "read_seconds": median_seconds(lambda: Snapshot.read(path)),
            "restore_seconds": median_seconds(lambda: Session.restore(model, path)),
            "fork_seconds": median_seconds(session.fork),
        }
        return row | of_journal(session, frames, folder)


def of_journal(session: Session, frames: list[Frame], folder: Path) -> dict[str, Any]:
    """Return what frames take in a journal, and how fast they come back."""
    session.save(folder / "snapshot")
    journal = Journal(folder / "journal")
    journal.begin(session.num_changes)
    session.record(journal.write)
    shift, before = frames[-1].pts_seconds + 1, session.stats.num_frames
    began = time.perf_counter()
    session.observe(Frame(pts_seconds=shift + frame.pts_seconds, image=frame.image) for frame in frames)
    watched = time.perf_counter() - began
    began = time.perf_counter()
    journal.commit()
    committed = time.perf_counter() - began
    count = session.stats.num_frames - before
    restored = Session.restore(session.model, folder / "snapshot")
    began = time.perf_counter()
    replay(journal, restored)
    replayed = time.perf_counter() - began
    logits = [one.next_token_logits("what came first?") for one in (session, restored)]
    row = {
        "journal_bytes_per_frame": journal.num_bytes / count,
        "commit_seconds_per_frame": committed / count,
        "watched_frames_per_second": count / watched,
        "replayed_frames_per_second": count / replayed,
        "is_same": torch.equal(*logits),
    }
    journal.close()
    return row


def of_pictures() -> list[dict[str, Any]]:
    """Return what pictures of the size that common models see take in a journal."""
    writer, rng, rows = ChangeWriter(), np.random.default_rng(0), []
    noise = rng.integers(0, 256, (384, 384, 3), dtype=np.uint8)
    smooth = np.linspace(0, 255, 384).astype(np.uint8)
    slope = np.stack([np.add.outer(smooth // 2, smooth // 2)] * 3, axis=2)
    soft = np.clip(slope.astype(int) + rng.integers(-3, 4, slope.shape), 0, 255).astype(np.uint8)
    for kind, image in (("noise", noise), ("slope with camera noise", soft), ("slope", slope)):
        came = FrameCame(frame=Frame(pts_seconds=0.0, image=image), due=1, num_gaps=0)
        taken = median_seconds(lambda came=came: writer.encode(came))
        size = len(writer.encode(came))
        rows.append({"picture": kind, "size": [384, 384], "bytes": size, "seconds": taken})
    return rows


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    rows = []
    for name in ("tiny", "tiny-qwen"):
        model = load_model(name)
        fps = model.card.default_fps
        frames = list(generate_world(0, NUM_FRAMES / fps).frames(fps))
        rows += [of_memory(model, frames, policy, options) for policy, options in POLICIES]
    document = {"memories": rows, "pictures": of_pictures(), "num_repeats": NUM_REPEATS, **machine()}
    (FOLDER / "snapshots.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

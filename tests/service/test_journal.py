"""A journal gives back all that was committed, in order and to the bit, whatever happened to its end."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
import torch
from tests.checkpoints import random_frames
from tests.families import FAMILIES
from tests.lives import is_same, life, live, streams

from hermes_stream import POLICIES, Frame, Session, SnapshotError, load_model
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.service.change_records import ChangeWriter, decode
from hermes_stream.service.journal import Committer, Journal, replay
from hermes_stream.service.segments import SUFFIX, Segments, piece_of, read_folder
from hermes_stream.stream.changes import (
    Change,
    ChunkFolded,
    FrameCame,
    FrameForgotten,
    FramesLeftOut,
    HeldFramesPrefilled,
    MemoryCompressed,
    QuestionAnswered,
)
from hermes_stream.stream.engine import Engine

QUESTION = "what is on screen now?"
BUDGET = 45


def policy_of(name: str) -> MemoryPolicy:
    make = POLICIES[name]
    return make() if make().budget_tokens is None else make(budget_tokens=BUDGET)


def change(number: int, seed: int = 0) -> Change:
    rng = np.random.default_rng(seed + number)
    image = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    frame = Frame(pts_seconds=float(number), image=image)
    return Change(number=number, what=FrameCame(frame=frame, due=number, num_gaps=0))


def same(one: Change, other: Change) -> bool:
    if not isinstance(one.what, FrameCame):
        return one == other
    ours, theirs = one.what.frame, other.what.frame
    return (
        one.number == other.number
        and ours.pts_seconds == theirs.pts_seconds
        and np.array_equal(ours.image, theirs.image)
    )


def filled(folder: Path, count: int, **settings) -> Journal:
    journal = Journal(folder, **settings)
    for number in range(journal.num_changes + 1, journal.num_changes + count + 1):
        journal.write(change(number))
        if number % 3 == 0:
            journal.commit()
    journal.commit()
    return journal


def numbers(journal: Journal, after: int = 0) -> list[int]:
    return [one.number for one in journal.changes(after)]


def replayed(session: Session, events: list, moment: int, folder: Path) -> tuple[Session, Session]:
    """Live to a moment, save, live on beside a journal; return the session, and the same from the disk."""
    live(session, events[:moment])
    session.save(folder / "snapshot")
    journal = Journal(folder / "journal")
    journal.begin(session.num_changes)
    session.record(journal.write)
    live(session, events[moment:])
    session.record(None)
    journal.close()
    restored = Session.restore(session.model, folder / "snapshot")
    again = Journal(folder / "journal")
    assert replay(again, restored) == session.num_changes - restored_changes(session.model, folder)
    assert replay(again, restored) == 0
    return session, restored


def restored_changes(model, folder: Path) -> int:
    return Session.restore(model, folder / "snapshot").num_changes


@pytest.mark.parametrize("name", POLICIES)
def test_snapshot_and_journal_are_the_memory(model, tmp_path, name):
    events = life(seed=20)
    session = Session(model, policy_of(name), chunk_frames=4, text_tokens=64)
    session, restored = replayed(session, events, len(events) // 3, tmp_path)
    assert is_same(*streams(session, restored))
    more = [event for event in life(seed=21) if event.question]
    assert live(session, more) == live(restored, more)
    assert torch.equal(session.next_token_logits(QUESTION), restored.next_token_logits(QUESTION))


@pytest.mark.parametrize(
    "options",
    [
        {"fps": 0.7},
        {"still_below": 4.0, "filter": "dedup"},
        {"still_below": 4.0, "policy": "recent_n"},
        {"kv_bits": 8, "chunk_frames": 16},
        {"guidance_from_questions": False},
    ],
    ids=str,
)
def test_any_option(model, tmp_path, options):
    given = {"policy": "hermes", "chunk_frames": 4, "text_tokens": 64} | options
    session = Session(model, budget_tokens=BUDGET, **given)
    assert is_same(*streams(*replayed(session, life(seed=22), 5, tmp_path)))


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_temporal_patches_of_two_frames(tmp_path, family):
    model = load_model(FAMILIES[family].save(tmp_path / "model"))
    session = Session(model, "hermes", budget_tokens=60, chunk_frames=4, text_tokens=64)
    assert is_same(*streams(*replayed(session, life(seed=23), 4, tmp_path)))


def test_frames_that_fail_and_frames_that_are_dropped(model, tmp_path, monkeypatch):
    engine = Engine(model, queue_frames=8)
    handle = engine.add(chunk_frames=4, overflow="drop_oldest", policy=policy_of("window"))
    handle.save(tmp_path / "snapshot")
    journal = Journal(tmp_path / "journal")
    handle.record(journal.write)
    frames = random_frames(40)
    bad, encode = model.prepare([frames[34]]).values, type(model).encode

    def broken(self, pixels):
        if any(torch.equal(one, bad[0]) for one in pixels.values):
            raise RuntimeError("a bad picture")
        return encode(self, pixels)

    monkeypatch.setattr(type(model), "encode", broken)
    for frame in frames:
        handle.observe(frame)
        if frame.pts_seconds % 7 == 0:
            engine.step()
            assert handle.settle() is None
    answers = [handle.ask(QUESTION, max_new_tokens=2) for _ in range(4)]
    for answer in answers:
        answer.finish()
    assert answers[-1].failure is None
    assert handle.num_dropped_frames > 0
    assert handle.stats.num_failed_frames == 1
    journal.close()
    session = Session.restore(model, tmp_path / "snapshot")
    replay(Journal(tmp_path / "journal"), session)
    assert is_same(handle.stream, *streams(session))


def test_streams_that_share_forwards_come_back_each_alone(model, tmp_path):
    engine = Engine(model)
    handles = [engine.add(policy_of("hermes"), chunk_frames=4) for _ in range(3)]
    journals = [Journal(tmp_path / str(index)) for index in range(3)]
    for handle, journal in zip(handles, journals, strict=True):
        handle.record(journal.write)
    for index in range(24):
        for seed, handle in enumerate(handles):
            handle.observe(random_frames(1, seed=100 * seed + index, start=index))
            if index % (5 + seed) == 3:
                handle.ask(QUESTION, max_new_tokens=2)
        engine.step()
    engine.run()
    for handle, journal in zip(handles, journals, strict=True):
        journal.close()
        alone = engine.add(policy_of("hermes"), chunk_frames=4)
        assert replay(Journal(journal.folder), alone) == handle.num_changes
        assert is_same(handle.stream, alone.stream)


def test_changes_are_bytes_and_back():
    frame = Frame(
        pts_seconds=1.5,
        image=np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)[:, ::-1],
        duration_seconds=0.5,
        source_size=(40, 50),
    )
    came = Change(number=7, what=FrameCame(frame=frame, due=3, num_gaps=1))
    back = decode(7, ChangeWriter().encode(came.what))
    assert same(came, back)
    assert (back.what.frame.source_size, back.what.due, back.what.num_gaps) == ((40, 50), 3, 1)
    assert back.what.frame.image.flags.writeable
    for what in (
        FrameForgotten(index=2),
        FramesLeftOut(indices=(1, 2)),
        ChunkFolded(start=1, num_frames=4),
        ChunkFolded(start=1, num_frames=4, text_tokens=70),
        MemoryCompressed(),
        HeldFramesPrefilled(),
        QuestionAnswered(),
        QuestionAnswered(question="wer ist das? \N{GRINNING FACE}", answer=""),
    ):
        assert decode(1, ChangeWriter().encode(what)) == Change(number=1, what=what)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (31, 17)])
def test_pictures_of_any_size_come_back(size):
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    for one in (image, np.asfortranarray(image), image[::-1, ::-1]):
        what = FrameCame(frame=Frame(pts_seconds=0.0, image=one), due=1, num_gaps=0)
        assert same(decode(1, ChangeWriter().encode(what)), Change(number=1, what=what))


def test_what_is_no_change_is_refused():
    whole = ChangeWriter().encode(change(1).what)
    rng = np.random.default_rng(0)
    for _ in range(400):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(damaged), 3):
            damaged[place] = rng.integers(256)
        try:
            decode(1, bytes(damaged[: rng.integers(len(damaged) + 1)]))
        except SnapshotError:
            continue
    bomb = whole.replace(b'"height": 8', b'"height": 9')
    with pytest.raises(SnapshotError, match="192 bytes are packed, and 9 x 8 pixels have 216"):
        decode(1, bomb)


@pytest.mark.parametrize("num_lost", [1, 5, 11, 40, 150])
def test_a_torn_end_is_cut_off_at_the_last_whole_record(tmp_path, num_lost):
    filled(tmp_path, 20).close()
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:-num_lost])
    journal = Journal(tmp_path)
    kept = numbers(journal)
    assert kept == list(range(1, len(kept) + 1))
    assert 18 <= len(kept) < 20
    assert journal.num_changes == len(kept)
    for number in range(len(kept) + 1, 30):
        journal.write(change(number, seed=5))
    journal.close()
    read = list(Journal(tmp_path).changes())
    assert [one.number for one in read] == list(range(1, 30))
    assert all(same(one, change(one.number, 0 if one.number <= len(kept) else 5)) for one in read)


def test_an_end_of_zeros_is_no_record(tmp_path):
    filled(tmp_path, 4).close()
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes() + bytes(5000))
    journal = Journal(tmp_path)
    assert (journal.num_cut_bytes, numbers(journal)) == (5000, [1, 2, 3, 4])


def test_damage_anywhere_never_gives_another_change(tmp_path):
    filled(tmp_path, 12).close()
    path = next(tmp_path.iterdir())
    whole, rng = path.read_bytes(), np.random.default_rng(3)
    for _ in range(200):
        damaged = bytearray(whole)
        start = int(rng.integers(len(damaged)))
        damaged[start : start + int(rng.integers(1, 40))] = rng.bytes(int(rng.integers(0, 40)))
        path.write_bytes(bytes(damaged))
        read = list(Journal(tmp_path).changes())
        assert all(same(one, change(one.number)) for one in read)
        assert [one.number for one in read] == list(range(1, len(read) + 1))


def test_files_are_bounded_and_deleted_behind_a_snapshot(tmp_path):
    journal = filled(tmp_path, 60, segment_bytes=2000)
    assert len(list(tmp_path.iterdir())) > 5
    assert all(path.stat().st_size < 4000 for path in tmp_path.iterdir())
    before = journal.num_bytes
    journal.forget(30)
    assert journal.num_bytes < before
    assert numbers(journal, after=30) == list(range(31, 61))
    journal.forget(60)
    assert (list(tmp_path.iterdir()), journal.num_bytes) == ([], 0)
    journal.write(change(61))
    journal.close()
    assert numbers(Journal(tmp_path)) == [61]


@pytest.mark.parametrize("segment_bytes", [1000, 10**6])
def test_another_time_line_takes_the_place_of_the_first(tmp_path, segment_bytes):
    filled(tmp_path, 30, segment_bytes=segment_bytes).close()
    journal = Journal(tmp_path, segment_bytes=segment_bytes)
    journal.begin(17)
    for number in range(18, 25):
        journal.write(change(number, seed=9))
    journal.close()
    read = list(Journal(tmp_path).changes())
    assert [one.number for one in read] == list(range(1, 25))
    assert all(same(one, change(one.number, 0 if one.number <= 17 else 9)) for one in read)


def test_a_hole_is_refused_and_what_lies_before_is_kept(model, tmp_path):
    session = Session(model, "window", budget_tokens=BUDGET, chunk_frames=4)
    session.save(tmp_path / "snapshot")
    journal = Journal(tmp_path / "journal", segment_bytes=1)
    session.record(journal.write)
    for frame in random_frames(12):
        session.observe(frame)
        journal.commit()
    sorted((tmp_path / "journal").iterdir())[5].unlink()
    restored = Session.restore(model, tmp_path / "snapshot")
    with pytest.raises(SnapshotError, match="those between are missing"):
        replay(Journal(tmp_path / "journal"), restored)
    assert 0 < restored.num_changes < session.num_changes


def test_a_full_disk_stops_the_journal_and_a_snapshot_starts_it_again(tmp_path, monkeypatch):
    journal = filled(tmp_path, 5)
    journal.write(change(6))
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        journal.commit()
    assert "No space left" in journal.failure
    journal.write(change(7))
    journal.commit()
    assert numbers(Journal(tmp_path)) == [1, 2, 3, 4, 5]
    journal.begin(6)  # the snapshot was taken before change 7
    assert journal.failure is None
    journal.write(change(8))
    journal.close()
    assert numbers(Journal(tmp_path), after=6) == [7, 8]


def test_a_queue_over_its_bound_forgets_the_oldest_and_says_so(tmp_path):
    journal = Journal(tmp_path, queue_bytes=5000)
    for number in range(1, 41):
        journal.write(change(number))
    assert journal.num_queued_bytes <= 5000
    assert "more than 5000 bytes" in journal.failure
    journal.commit()
    assert numbers(journal) == []
    journal.begin(20)  # too old: what follows it is forgotten
    journal.commit()
    assert "was expected" in journal.failure
    journal.begin(39)
    journal.commit()
    assert (journal.failure, numbers(journal)) == (None, [40])
    journal.close()


def test_the_committer_writes_soon_and_once_more_at_its_end(tmp_path):
    first, second = Journal(tmp_path / "a"), Journal(tmp_path / "b")
    with Committer(every_seconds=0.02) as committer:
        committer.add(first)
        committer.add(first)
        first.write(change(1))
        until = time.monotonic() + 10
        while first.num_changes < 1 and time.monotonic() < until:
            time.sleep(0.01)
        assert numbers(first) == [1]
        committer.add(second)
        committer.remove(first)
        second.write(change(1))
        first.write(change(2))
    assert (numbers(first), numbers(second)) == ([1], [1])
    first.close()
    second.close()
    assert numbers(first) == [1, 2]
    with pytest.raises(ValueError, match="every_seconds must be a positive number"):
        Committer(every_seconds=0)


def test_a_commit_waits_for_what_another_thread_is_writing(tmp_path, monkeypatch):
    journal, is_writing, may_end = Journal(tmp_path), Event(), Event()
    append = journal._segments.append

    def slow(records):
        is_writing.set()
        assert may_end.wait(20)
        append(records)

    monkeypatch.setattr(journal._segments, "append", slow)
    journal.write(change(1))
    first, second = Thread(target=journal.commit), Thread(target=journal.commit)
    first.start()
    assert is_writing.wait(20)
    second.start()
    second.join(0.2)
    assert second.is_alive()  # nothing is queued, and yet not all is on disk
    may_end.set()
    for one in (first, second):
        one.join(20)
    assert journal.num_changes == 1
    journal.close()


def test_deleting_leaves_nothing(tmp_path):
    journal = filled(tmp_path / "a", 5)
    journal.write(change(6))
    journal.delete()
    assert not (tmp_path / "a").exists()
    assert journal.num_queued_bytes == 0


def test_what_is_recorded_is_not_replayed(model):
    session = Session(model, chunk_frames=4)
    session.record(lambda _: None)
    with pytest.raises(ValueError, match="replay changes first, and record from then on"):
        session.replay([])


def test_a_listener_that_fails_stops_nothing(model, caplog):
    session = Session(model, chunk_frames=4)
    session.record(lambda _: 1 / 0)
    session.observe(random_frames(5))
    assert session.stats.num_frames == 5
    assert "not recorded any more" in caplog.text


def records(folder: Path) -> list[bytes]:
    return [payload for _, payload in Segments(folder).read()]


def test_what_was_cut_off_is_gone(tmp_path):
    for number, first in enumerate((1, 2)):
        content = piece_of(first, [b"whole"]) + bytes(30 + number)
        (tmp_path / f"{first:016d}{SUFFIX}").write_bytes(content)
    assert Segments(tmp_path).num_cut_bytes == 30 + 31
    assert Segments(tmp_path).num_cut_bytes == 0


def test_a_file_that_is_open_gives_way_to_another_time_line(tmp_path):
    segments = Segments(tmp_path)
    segments.append([b"1", b"2", b"3"])
    segments.begin(2)
    segments.append([b"other"])
    assert records(tmp_path) == [b"1", b"other"]
    segments.forget(1)
    assert [number for number, _ in segments.read()] == [2], "all of the first file is forgotten"
    segments.close()


def test_what_comes_after_an_open_file_was_forgotten_is_kept(tmp_path):
    segments = Segments(tmp_path)
    segments.append([b"1"])
    segments.forget(1)
    segments.append([b"2"])
    segments.close()
    assert records(tmp_path) == [b"2"]


def test_a_file_that_was_begun_and_never_written_to_is_begun_again(tmp_path):
    (tmp_path / f"{1:016d}{SUFFIX}").write_bytes(piece_of(1, []))
    segments = Segments(tmp_path)
    segments.append([b"1"])
    assert segments.num_bytes == len(piece_of(1, [b"1"]))
    segments.forget(0)
    assert records(tmp_path) == [b"1"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"{2:016d}", piece_of(1, [b"of another file"])),
        (f"{1:016d}", piece_of(1, [b"of another kind"]).replace(b"hermesj1", b"hermesj2")),
        ("notes", piece_of(1, [b"of somebody else"])),
    ],
    ids=["numbers", "kind", "name"],
)
def test_what_is_no_file_of_a_journal_has_no_records(tmp_path, name, content):
    (tmp_path / f"{name}{SUFFIX}").write_bytes(content)
    assert records(tmp_path) == []
    assert list(read_folder(tmp_path)) == []


def test_only_what_lasts_is_read(tmp_path):
    segments = Segments(tmp_path)
    segments.append([b"1"])
    with next(tmp_path.iterdir()).open("ab") as file:
        file.write(piece_of(2, [b"on its way"])[len(piece_of(2, [])) :])
    assert [number for number, _ in segments.read()] == [1]
    segments.close()


def test_the_name_of_a_file_lasts_as_its_records_do(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("hermes_stream.service.segments.sync_folder", synced.append)
    segments = Segments(tmp_path, segment_bytes=1)
    segments.append([b"1"])
    segments.append([b"2"])
    segments.close()
    assert synced == [tmp_path] * 2


def test_a_file_that_a_snapshot_holds_meanwhile_is_passed_over(tmp_path):
    segments = Segments(tmp_path, segment_bytes=1)
    segments.append([b"1"])
    segments.append([b"2"])
    reading = read_folder(tmp_path)
    assert next(reading) == (1, b"1")
    segments.forget(2)
    assert list(reading) == []

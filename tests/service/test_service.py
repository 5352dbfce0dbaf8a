"""A service: what it answers is what a session answers, whoever asks; nothing waits without end."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
from tests.checkpoints import random_frames
from tests.waiting import until

from hermes_stream import HermesPolicy, Session, VideoError, write_video
from hermes_stream.errors import (
    CapacityError,
    ClosedError,
    OverloadedError,
    StoreError,
    StreamExistsError,
    UnknownPictureError,
    UnknownSnapshotError,
    UnknownStreamError,
)
from hermes_stream.service import seating
from hermes_stream.video.sources.options import SourceOptions

QUESTION = "what is on screen now?"
OPTIONS = ["a circle", "a square", "a star"]
FEW = {"budget_tokens": 40, "chunk_frames": 4, "fps": 1.0}


def push(service, name, frames):
    """Push frames one by one, and wait until the engine has each."""
    for frame in frames:
        service.push_frames(name, frame)
        until(lambda frame=frame: service.stream(name).lag_seconds == 0)


def commit_journals(service):
    """Let last what the engine has done so far, as is done twice a second."""
    service._running.thread.run(lambda _: None)
    for journal in tuple(service._running._committer._journals):
        journal.commit()


def kinds(service, **chosen):
    service._running.store.writer.write(lambda _: None)
    return [event.kind for event in service.events(**chosen)]


def test_another_source_is_refused_or_meant(serve, tmp_path):
    service = serve()
    for name in ("one", "two"):
        write_video(tmp_path / f"{name}.mp4", random_frames(24, fps=2.0), fps=2)
    options = SourceOptions(pace="fast")
    service.open_stream("clip", tmp_path / "one.mp4", source_options=options, **FEW)
    until(lambda: (one := service.stream("clip")).state == "ended" and one.lag_seconds == 0)
    with pytest.raises(StreamExistsError, match=r"source one\.mp4 and remembers .* not two\.mp4"):
        service.open_stream("clip", tmp_path / "two.mp4")
    service.close_stream("clip")
    with pytest.raises(StreamExistsError, match="replace_source"):
        service.open_stream("clip", tmp_path / "two.mp4")
    assert service.stream("clip").state == "closed"
    before = service.stream("clip").zero_wall_seconds
    service.open_stream("clip", tmp_path / "two.mp4", replace_source=True)
    until(lambda: (one := service.stream("clip")).state == "ended" and one.lag_seconds == 0)
    status = service.stream("clip")
    assert (status.source, status.num_frames, status.zero_wall_seconds) == ("two.mp4", 24, before)
    (changed,) = service.events(kinds=["source_changed"])
    assert changed.payload == {"source": "two.mp4", "before": "one.mp4"}


def test_a_source_that_runs_is_left_for_another(serve, tmp_path):
    service = serve()
    for name in ("one", "two"):
        write_video(tmp_path / f"{name}.mp4", random_frames(240, fps=2.0), fps=2)
    service.open_stream("clip", tmp_path / "one.mp4", **FEW)
    until(lambda: service.stream("clip").num_frames + service.stream("clip").num_waiting_frames > 0)
    seen = service.stream("clip").newest_pts_seconds
    service.open_stream("clip", tmp_path / "two.mp4", replace_source=True)
    until(lambda: service.stream("clip").newest_pts_seconds > seen)
    assert (service.stream("clip").source, service.stream("clip").state) == ("two.mp4", "live")


def test_no_folder_of_a_file_is_shown(serve, tmp_path):
    folder = tmp_path / "a private folder"
    folder.mkdir()
    write_video(folder / "clip.mp4", random_frames(24, fps=2.0), fps=2)
    service = serve()
    service.open_stream("clip", folder / "clip.mp4", source_options=SourceOptions(pace="fast"), **FEW)
    until(lambda: service.stream("clip").state == "ended")
    with pytest.raises(StreamExistsError) as refused:
        service.push_frames("clip", random_frames(1, start=99.0))
    service.close_stream("clip")
    told = [str(refused.value), repr(service.streams(closed=True)), repr(service.events())]
    assert not [one for one in told if "private folder" in one or str(tmp_path) in one]
    assert service.open_stream("clip", folder / "clip.mp4").source == "clip.mp4"  # it is known by its path


def test_answers_are_those_of_a_session(serve, model):
    service = serve()
    choices = {"guidance_from_questions": False, "defers_compression": True}
    session = Session(model, HermesPolicy.paper(40), chunk_frames=4, **choices)
    service.open_stream("door", policy="hermes_paper", **FEW)
    for first, end in ((0, 7), (7, 18), (18, 26)):
        push(service, "door", random_frames(26)[first:end])
        session.observe(random_frames(26)[first:end])
        answer = service.ask("door", QUESTION, max_new_tokens=5)
        assert answer.text == session.ask(QUESTION, max_new_tokens=5).text
        assert answer.seen_until_seconds == end - 1
        assert 0 < answer.ttft_seconds <= answer.ttft_with_pending_seconds
        assert 0 < answer.confidence <= 1
        chosen = service.ask("door", "which?", options=OPTIONS)
        assert chosen.text == session.ask("which?", OPTIONS).text
        assert chosen.text == OPTIONS[chosen.option_index]
        moments = session.evidence("which?", OPTIONS).moments(3)
        assert [one.seconds for one in chosen.evidence] == [one.seconds for one in moments]
    status = service.stream("door")
    assert status.num_frames == 26
    assert status.memory.num_questions == 6
    assert status.memory.num_compressions == session.stats.num_compressions
    assert status.memory.num_visual_tokens_over_budget == session.stats.num_visual_tokens_over_budget
    assert (status.state, status.dropped.total, status.num_open_questions) == ("live", 0, 0)


def test_a_question_that_is_remembered_steers_the_memory(serve):
    service, keys = serve(), {}
    for name, remember in (("with", True), ("without", False), ("never", None)):
        service.open_stream(name, policy="hermes", **FEW)
        push(service, name, random_frames(10))
        if remember is not None:
            assert service.ask(name, QUESTION, max_new_tokens=4, remember=remember).text is not None
        push(service, name, random_frames(30)[10:])
        keys[name] = service.memory(name).layers
    assert keys["without"] != keys["with"] or keys["with"] != keys["never"]
    assert [one.asked.remembered for one in service.questions("with")] == [True]


def test_many_threads_push_and_ask(serve):
    service, names = serve(max_questions=1000, max_questions_per_stream=100), [f"s{k}" for k in range(4)]
    failures, answers = [], []
    for name in names:
        service.open_stream(name, **FEW)
        service.push_frames(name, random_frames(1))

    def film(name, seed):
        for frame in random_frames(40, seed=seed, start=1.0):
            service.push_frames(name, frame, wait_seconds=20)

    def ask(name):
        try:
            for _ in range(4):
                answers.append(service.ask(name, QUESTION, max_new_tokens=3, num_moments=1).text)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=film, args=(name, k)) for k, name in enumerate(names)]
    threads += [threading.Thread(target=ask, args=(name,)) for name in names * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(answers) == 32
    until(lambda: all(one.lag_seconds == 0 for one in service.streams()))
    assert [one.num_frames for one in service.streams()] == [41] * 4
    assert service.capacity().num_open_questions == 0


def test_asyncio_asks(serve):
    service = serve()
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(5))

    async def ask() -> str:
        answer = await asyncio.to_thread(service.ask, "door", QUESTION, max_new_tokens=4)
        return "".join([piece async for piece in answer])

    assert asyncio.run(ask()) == service.ask("door", QUESTION, max_new_tokens=4).text


def test_questions_over_the_limit_are_refused_and_told_when(serve):
    service = serve(max_questions=3, max_questions_per_stream=2)
    for name in ("a", "b"):
        service.open_stream(name, **FEW)
        push(service, name, random_frames(2))
    held, go_on = threading.Event(), threading.Event()

    def hold(_):
        held.set()
        go_on.wait(20)

    service._running.thread.submit(hold)
    held.wait(10)
    asked = []
    threads = [
        threading.Thread(target=lambda name=name: asked.append(service.ask(name, QUESTION, max_new_tokens=2)))
        for name in ("a", "a", "b")
    ]
    for thread in threads:
        thread.start()
    until(lambda: service._running.desk.num_open == 3)
    with pytest.raises(OverloadedError, match=r"2 questions of stream 'a' and 3 of all") as caught:
        service.ask("a", QUESTION)
    assert caught.value.retry_after_seconds > 0
    with pytest.raises(OverloadedError):
        service.ask("b", QUESTION)
    assert service.health().step_seconds >= 0  # asked while the engine is busy
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert [answer.wait(20) for answer in asked] == [True] * 3
    assert service.ask("a", QUESTION, max_new_tokens=2).text is not None


def test_an_answer_that_is_cancelled_frees_its_place(serve):
    service = serve(max_questions_per_stream=1)
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(6))
    answer = service.ask("door", QUESTION, max_new_tokens=200)
    assert next(iter(answer)) is not None
    answer.cancel()
    assert answer.wait(5)
    assert answer.finish_reason in ("abandoned", "length", "stop")
    until(lambda: service.capacity().num_open_questions == 0)
    assert service.ask("door", QUESTION, max_new_tokens=2).text is not None
    answer.cancel()


def test_what_is_wrong_is_refused_before_the_answer_begins(serve):
    service = serve(max_question_characters=100, max_streams=1)
    with pytest.raises(UnknownStreamError, match="no stream 'door' is open; open streams: none"):
        service.ask("door", QUESTION)
    service.open_stream("door", **FEW)
    with pytest.raises(VideoError, match="no frame was observed yet"):
        service.ask("door", QUESTION)
    service.push_frames("door", random_frames(1))
    for arguments, message in (
        ({"question": " "}, "non-empty text"),
        ({"question": "x" * 101}, "101 characters, and max_question_characters is 100"),
        ({"question": "x", "options": ["a"]}, "2 to 26 texts"),
        ({"question": "x", "temperature": -1.0}, "temperature"),
        ({"question": "x", "num_moments": -1}, "num_moments"),
        ({"question": "x", "stop": "a"}, "stop must be a list"),
        ({"question": 5}, "must be texts"),
    ):
        with pytest.raises(ValueError, match=message):
            service.ask("door", **arguments)
    with pytest.raises(TypeError, match="heat"):
        service.ask("door", "x", heat=1)
    with pytest.raises(CapacityError, match="max_streams is 1"):
        service.open_stream("desk")
    for name in ("", "a/b", "../x", ".x", "a" * 65, "a b", "a.", "é", "a\n"):
        with pytest.raises(ValueError, match="a stream's name must be"):
            service.open_stream(name)
    for choices, message in (({"policy": "none"}, "'none'"), ({"fps": -1}, "fps"), ({"colour": 1}, "colour")):
        with pytest.raises(ValueError, match=message):
            service.open_stream("other", **choices)
    assert service.capacity().num_open_questions == 0
    assert [one.name for one in service.streams(closed=True)] == ["door"]


def test_frames_over_the_limit_push_older_ones_out_and_are_counted(serve):
    service = serve(ring_frames=8)
    service.open_stream("door", **FEW)
    held, go_on = threading.Event(), threading.Event()
    service._running.thread.submit(lambda _: (held.set(), go_on.wait(20)))
    held.wait(10)
    receipt = service.push_frames("door", random_frames(20))
    assert (receipt.num_accepted, receipt.num_dropped, receipt.newest_pts_seconds) == (20, 12, 19.0)
    with pytest.raises(OverloadedError, match="no room"):
        service.push_frames("door", random_frames(1, start=20.0), wait_seconds=0.01)
    go_on.set()
    status = until(lambda: (one := service.stream("door")).lag_seconds == 0 and one)
    assert asdict(status.dropped) == {"decode": 0, "ring": 12, "engine": 0}
    assert status.num_frames == 8
    again = service.push_frames("door", random_frames(20))  # a client that came back
    assert (again.num_accepted, again.num_skipped, again.newest_pts_seconds) == (0, 20, 19.0)
    service._running._upkeep.tell_losses()
    service._running._upkeep.tell_losses()
    assert kinds(service).count("frames_dropped") == 1
    (event,) = service.events(kinds=["frames_dropped"])
    assert event.payload == {"decode": 0, "ring": 12, "engine": 0}


def test_a_restart_is_a_gap_that_is_told_once(serve):
    service = serve()
    service.open_stream("door", **FEW)
    service.open_stream("yard", **FEW)
    for name in ("door", "yard"):
        push(service, name, random_frames(3))
    service.close()
    again = serve()
    assert "gap" not in kinds(again)  # its end is not known before a frame comes
    push(again, "door", random_frames(3, start=6.0))
    push(again, "yard", random_frames(3, start=3.0))  # whoever pushes waited meanwhile: nothing is missing
    (restored, _) = again.events(kinds=["stream_restored"])
    (gap,) = again.events(kinds=["gap"])
    assert (gap.stream, gap.epoch, gap.pts_seconds) == ("door", 2, 2.0)
    assert gap.pts_seconds == restored.pts_seconds
    assert gap.payload == {"until_seconds": 6.0, "seconds": 4.0}
    assert again.stream("door").num_gaps == 1
    again.close()
    third = serve()
    push(third, "yard", random_frames(1, start=6.0))
    assert kinds(third).count("gap") == 1


def test_a_pause_of_pushed_frames_is_a_gap(serve):
    service = serve(silence_seconds=5.0)
    service.open_stream("door", **FEW)
    push(service, "door", [*random_frames(3), *random_frames(2, start=30.0)])
    until(lambda: "gap" in kinds(service))
    (gap,) = service.events(kinds=["gap"])
    assert (gap.pts_seconds, gap.payload["until_seconds"], gap.payload["seconds"]) == (2.0, 30.0, 28.0)
    assert service.stream("door").num_gaps == 1


def test_a_file_is_watched_to_its_end_and_asked_about(serve, tmp_path):
    service = serve()
    write_video(tmp_path / "clip.mp4", random_frames(24, fps=2.0), fps=2)
    options = SourceOptions(pace="fast")
    opened = service.open_stream("clip", tmp_path / "clip.mp4", source_options=options, **FEW)
    assert opened.state in ("opening", "live", "ended")
    until(lambda: (one := service.stream("clip")).state == "ended" and one.lag_seconds == 0)
    status = service.stream("clip")
    assert (status.num_frames, status.dropped.total) == (12, 0)
    assert service.ask("clip", QUESTION, max_new_tokens=3).text is not None
    until(lambda: len(service.events(kinds=["source_state"])) > 1)  # recorded soon
    states = [one.payload["what"] for one in service.events(kinds=["source_state"])]
    assert states == ["opened", "ended"]
    # named again it is the same; another source is not
    assert service.open_stream("clip", tmp_path / "clip.mp4").epoch == 1
    with pytest.raises(StreamExistsError, match="come from"):
        service.push_frames("clip", random_frames(1, start=99.0))
    with pytest.raises(ValueError, match=r"opened with budget_tokens=40, .* got 41"):
        service.open_stream("clip", budget_tokens=41)
    with pytest.raises(VideoError):
        service.open_stream("none", tmp_path / "none.mp4")
    assert [one.name for one in service.streams(closed=True)] == ["clip"]


@pytest.mark.parametrize("how", ["set_policy", "restore"])
def test_another_memory_waits_for_the_answers_of_the_old_one(serve, how, monkeypatch):
    monkeypatch.setattr("hermes_stream.service.stream_registry._ANSWERS_SECONDS", 60.0)
    service = serve()
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(9))
    service.snapshot("door")
    answers = [service.ask("door", QUESTION, max_new_tokens=12, seed=n, temperature=5.0) for n in range(4)]
    service.set_policy("door", "window") if how == "set_policy" else service.restore("door")
    assert all(answer.is_done for answer in answers)
    assert {answer.finish_reason for answer in answers} <= {"stop", "length"}
    assert [answer.text for answer in answers]


def test_frames_of_an_iterable_wait_for_the_engine(serve):
    service = serve(ring_frames=4)
    service.open_stream("many", iter(random_frames(100, fps=2.0)), **FEW)
    until(lambda: (one := service.stream("many")).state == "ended" and one.lag_seconds == 0)
    status = service.stream("many")
    assert (status.num_frames, status.num_skipped_frames, status.dropped.total) == (50, 50, 0)


def test_a_mask_is_black_before_anything_is_kept(serve):
    service = serve()
    square = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5))
    options = SourceOptions(privacy_mask=(square,))
    service.open_stream("door", source_options=options, **FEW)
    white = [replace(frame, image=np.full((24, 24, 3), 255, np.uint8)) for frame in random_frames(4)]
    push(service, "door", white)
    assert not service.preview("door").image[:12, :12].any()
    assert service.preview("door").image[14:].all()
    assert white[0].image.all()  # the caller's own
    waiting = service._running.thread.run(lambda engine: engine.streams[0].stream.cache.num_tokens)
    assert max(waiting) > 0


def test_a_stream_is_renamed_closed_opened_again_and_deleted(serve):
    service = serve()
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(9))
    before = service.ask("door", QUESTION, max_new_tokens=4).text
    assert service.rename("door", "gate").name == "gate"
    with pytest.raises(UnknownStreamError):
        service.stream("door")
    with pytest.raises(StreamExistsError, match="'gate' already"):
        service.rename("gate", "gate")
    service.close_stream("gate")
    assert service.stream("gate").state == "closed"
    assert service.streams() == ()
    with pytest.raises(UnknownStreamError, match="no stream 'gate' is open"):
        service.ask("gate", QUESTION)
    status = service.open_stream("gate")
    assert (status.epoch, status.restored_until_seconds, status.num_frames) == (2, 8.0, 9)
    assert status.budget_tokens == 40
    assert service.ask("gate", QUESTION, max_new_tokens=4).text == before
    names = [event.stream for event in service.events(kinds=["stream_opened", "stream_renamed"])]
    assert names == ["gate", "gate"]
    service.close_stream("gate", delete=True)
    assert kinds(service) == ["service_started", "stream_deleted"]
    assert service.questions() == service.snapshots() == ()
    left = [
        path for path in service.data_dir.rglob("*") if path.is_file() and "events.sqlite" not in path.name
    ]
    assert [path.name for path in left] == ["service.lock"]
    with pytest.raises(UnknownStreamError):
        service.close_stream("gate")


def test_snapshots_are_restored_and_forked(serve):
    service = serve()
    service.open_stream("door", **FEW)
    frames = random_frames(40)
    push(service, "door", frames[:10])
    early = service.snapshot("door")
    expected = service.ask("door", QUESTION, max_new_tokens=4, num_moments=0).text
    push(service, "door", frames[10:20])
    service.snapshot("door")
    assert service.restore("door", early.id).restored_until_seconds == 9.0
    assert service.ask("door", QUESTION, max_new_tokens=4).text == expected
    assert [one.id for one in service.snapshots("door")][:1] == [1]
    fork = service.fork("door", "side", early.id)
    assert (fork.num_frames, fork.restored_until_seconds) == (10, 9.0)
    push(service, "side", frames[10:14])
    push(service, "door", frames[30:34])
    assert service.stream("door").newest_pts_seconds == 33.0
    assert service.stream("side").newest_pts_seconds == 13.0
    now = service.fork("side", "third")
    assert now.newest_pts_seconds == 13.0
    with pytest.raises(UnknownSnapshotError, match="no snapshot 99 of this stream; snapshots: 1, "):
        service.restore("door", 99)
    with pytest.raises(StreamExistsError):
        service.fork("door", "side")
    service.delete_snapshot("door", early.id)
    assert early.id not in [one.id for one in service.snapshots("door")]


def test_automatic_snapshots_give_way_and_others_stay(serve):
    service = serve(keep_snapshots=2)
    service.open_stream("door", **FEW)
    asked_for = []
    for number in range(6):
        push(service, "door", random_frames(2, start=2.0 * number))
        if number == 1:
            asked_for.append(service.snapshot("door").id)
        service._running._upkeep.save_all()
    kept = service.snapshots("door")
    assert len(kept) == 3
    assert kept[0].id == asked_for[0]
    folder = service.data_dir / "snapshots"
    files = [path.relative_to(service.data_dir).as_posix() for path in folder.rglob("*.safetensors")]
    assert sorted(files) == sorted(one.path for one in kept)


def test_another_policy_keeps_from_now_on(serve):
    service = serve()
    service.open_stream("door", policy="hermes", **FEW)
    push(service, "door", random_frames(20))
    before = service.memory("door").layers
    assert service.set_policy("door", "window").policy == "window"
    assert service.memory("door").layers == before
    push(service, "door", random_frames(40)[20:])
    newest = {layer.seconds[-1] for layer in service.memory("door").layers}
    assert newest == {39.0}
    assert min(layer.seconds[-2] for layer in service.memory("door").layers) >= 37.0
    assert service.set_policy("door", "uniform", budget_tokens=60).budget_tokens == 60
    with pytest.raises(CapacityError, match=r"of no use to 'recent_n'"):
        service.set_policy("door", "recent_n")
    with pytest.raises(ValueError, match="'none' is none of"):
        service.set_policy("door", "none")
    assert service.set_policy("door", "uniform", budget_tokens=9).state == "live"  # text has more room yet
    assert service.stream("door").num_frames == 40


def test_moments_have_pictures_as_long_as_they_are_remembered(serve):
    service = serve()
    service.open_stream("door", policy="window", **FEW)
    push(service, "door", random_frames(4))
    answer = service.ask("door", QUESTION, max_new_tokens=3)
    assert answer.wait(10)
    cited = [one.picture for one in answer.evidence]
    assert all(cited)
    assert service.picture(cited[0]).startswith(b"\xff\xd8")
    push(service, "door", random_frames(30)[4:])
    assert len(list((service.data_dir / "pictures").rglob("*.jpg"))) == 30
    service._running._upkeep.forget_pictures()
    memory = service.memory("door")
    remembered = {seconds for layer in memory.layers for seconds in layer.seconds}
    left = {
        path.relative_to(service.data_dir / "pictures").as_posix() for path in service.data_dir.rglob("*.jpg")
    }
    assert left >= set(memory.pictures.values()) | set(cited)
    assert len(left) < 15
    assert set(memory.pictures) == remembered
    for path in ("../service.lock", "/etc/passwd", cited[0] + "/..", "0001-door/2026-01-01/../x.jpg", ""):
        with pytest.raises(ValueError, match=r"a picture is STREAM/DAY/SECONDS\.jpg"):
            service.picture(path)
    with pytest.raises(UnknownPictureError):
        service.picture("0001-door/2026-01-01/99.000000.jpg")


def test_a_temporary_stream_leaves_nothing(serve):
    service = serve()
    service.open_stream("once", temporary=True, owner=7, **FEW)
    push(service, "once", random_frames(6))
    assert service.ask("once", QUESTION, max_new_tokens=3).text is not None
    assert service.streams() == ()
    (status,) = service.streams(temporary=True)
    assert (status.is_temporary, status.owner, status.num_frames) == (True, 7, 6)
    with pytest.raises(StreamExistsError):
        service.open_stream("once", temporary=True)
    service.close_stream("once", delete=True)
    assert kinds(service, kinds=["answered", "stream_opened"]) == []
    assert service.questions() == ()
    assert not list((service.data_dir / "pictures").iterdir())
    assert not list((service.data_dir / "snapshots").iterdir())


def test_one_folder_has_one_service(serve, model):
    service = serve()
    with pytest.raises(StoreError, match="another service uses the data folder"):
        serve()
    service.close()
    service.close()
    with pytest.raises(ClosedError, match="the service is closing"):
        service.open_stream("door")
    assert service.wait(1)
    serve().open_stream("door")


def test_an_idle_service_takes_next_to_nothing(serve):
    service = serve()
    for number in range(8):
        service.open_stream(f"s{number}", **FEW)
    push(service, "s0", random_frames(3))
    began, steps = time.process_time(), service._running.thread.run(lambda engine: engine.num_steps)
    time.sleep(1.0)
    assert time.process_time() - began < 0.05
    assert service._running.thread.run(lambda engine: engine.num_steps) == steps


def test_capacity_and_health_are_told(serve):
    service = serve(max_streams=3, memory_bytes=10**9)
    service.open_stream("door", **FEW)
    capacity = service.capacity()
    assert (capacity.num_streams, capacity.more_streams, capacity.max_streams) == (1, 2, 3)
    assert capacity.limit == "max_streams is 3"
    assert 0 < capacity.used_bytes < capacity.memory_bytes
    health = service.health()
    assert (health.is_live, health.is_ready, health.reasons) == (True, True, ())
    small = serve(service.data_dir.parent / "small", memory_bytes=1000)
    with pytest.raises(CapacityError, match="of the engine's 1000 bytes"):
        small.open_stream("door")
    assert small.capacity().more_streams == 0
    assert "of 1000 bytes, and one more takes" in small.capacity().limit


def test_a_stream_has_its_place_with_all_that_was_chosen():
    given = {"chunk_frames": 3, "text_tokens": 70, "still_below": 4.0, "kv_bits": 8}
    choices = SimpleNamespace(memory_policy=lambda _: "policy", token_filter="dedup", **given)
    engine = SimpleNamespace(model=None, add=lambda policy, **more: (policy, more))
    policy, taken = seating.add(engine, choices)
    assert policy == "policy"
    assert taken == {**given, "filter": "dedup", "defers_compression": True}


@pytest.mark.parametrize(("num_open", "is_asked"), [(None, False), (0, False), (1, True)])
def test_a_stream_is_asked_while_a_question_is_open(num_open, is_asked):
    live = None if num_open is None else SimpleNamespace(num_open_questions=num_open)
    assert seating.is_asked(SimpleNamespace(live=live)) == is_asked


def test_a_memory_fits_where_the_next_chunk_does():
    cache = SimpleNamespace(num_prefix_tokens=2, num_visual_tokens=(30, 40))
    handle = SimpleNamespace(stream=SimpleNamespace(cache=cache, chunk_tokens=8))

    def fits(*slots: int, budget: int | None = 40) -> bool:
        policy = SimpleNamespace(budget_tokens=budget)
        capacity = SimpleNamespace(policy=policy, slots_of_layer=slots)
        choices = SimpleNamespace(capacity=lambda _: capacity)
        return seating._fits(SimpleNamespace(model=None), handle, choices)

    assert fits(40, 50)
    assert not fits(40, 49)
    assert fits(1, 1, budget=None)

"""Search, report, clip and digest on the command line."""

from __future__ import annotations

import json
import time
from datetime import datetime
from itertools import islice

import pytest
from tests.server.served import serving

from hermes_stream.cli.wall_time import read_wall_time
from hermes_stream.service.events import NewEvent
from hermes_stream.video import FileSource

NOW = datetime(2026, 11, 26, 12, 30).timestamp()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("30m", NOW - 1800),
        ("2h ago", NOW - 7200),
        ("1.5d", NOW - 129_600),
        ("8:05", datetime(2026, 11, 26, 8, 5).timestamp()),
        ("08:05:10", datetime(2026, 11, 26, 8, 5, 10).timestamp()),
        ("2026-11-25", datetime(2026, 11, 25).timestamp()),
        ("2026-11-25 07:00", datetime(2026, 11, 25, 7).timestamp()),
        ("2026-11-25T07:00:00Z", 1_795_590_000.0),
        ("1700000000", 1_700_000_000.0),
    ],
)
def test_moments_of_the_calendar_are_read(text, expected):
    assert read_wall_time(text, now=NOW) == expected


@pytest.mark.parametrize("text", ["", "tomorrow", "25:99", "2026-13-01", "99999999999999", "-3"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ValueError, match="is no moment; give 2026-11-26 08:00"):
        read_wall_time(text)


def test_a_file_is_summed_up_in_a_folder(hermes, story, tmp_path):
    out = tmp_path / "out"
    run = hermes("digest", story, "--out", out, "--json", "--min-chapter", "2", "--tag", "red circle")
    assert run.code == 0, run.err
    document = run.document
    assert document["schema"] == "hermes.digest/1"
    assert document == json.loads((out / "digest.json").read_text())
    assert document["chapters"][0]["start_seconds"] == 0
    assert document["chapters"][-1]["end_seconds"] == pytest.approx(8, abs=1)
    for chapter in document["chapters"]:
        assert (out / chapter["picture"]).read_bytes().startswith(b"\xff\xd8")
    assert document["tags"][0]["text"] == "red circle"
    assert "<script" not in (out / "digest.html").read_text()


@pytest.mark.parametrize(("chunk", "num_chunks"), [((), 8), (("--chunk-frames", "4"), 2)])
def test_a_chunk_of_a_digest_is_a_second_or_what_was_asked_for(hermes, story, tmp_path, chunk, num_chunks):
    run = hermes("digest", story, "--out", tmp_path / "o", "--json", *chunk)
    assert len(run.document["newness"]) == num_chunks


def test_a_digest_that_is_ended_early_tells_what_was_found(hermes, story, tmp_path, monkeypatch):
    def three_frames(source, *_):
        yield from islice(source, 3)
        raise KeyboardInterrupt

    monkeypatch.setattr("hermes_stream.cli.digest._between", three_frames)
    run = hermes("digest", story, "--out", tmp_path / "o", "--json")
    assert run.code == 130
    assert run.document["error"]["message"] == "ended by Ctrl-C; 3 frames watched"
    assert run.document["chapters"]
    assert "to" in hermes("digest", story, "--out", tmp_path / "o").out


def test_words_of_a_digest_that_the_model_lacks_are_told(hermes, story, tmp_path):
    out = ("--out", tmp_path / "out", "--to", "1")
    asked = ("--tag", "slide", "--tag", "red dog", "--summarize", "why is it red?")
    warned = " ".join(hermes("digest", story, *out, *asked).err.split())
    assert "'slide', 'dog' and 'why' are no words that tiny knows" in warned
    assert "no word" not in hermes("digest", story, *out, "--tag", "red circle").err


def test_which_memory_watched_a_file_is_told(hermes, story, tmp_path):
    run = hermes("digest", story, "--out", tmp_path / "o", "--policy", "window", "--budget-tokens", "60")
    assert run.code == 0, run.err
    assert "policy window keeps at most 60 visual tokens per layer" in run.err.splitlines()


def test_a_part_of_a_file_is_summed_up(hermes, story, tmp_path):
    run = hermes("digest", story, "--out", tmp_path / "o", "--json", "--from", "2", "--to", "5")
    assert run.document["from_seconds"] == 2
    assert run.document["newness"][-1][0] <= 5
    assert hermes("digest", story, "--out", tmp_path / "o", "--from", "x").code == 2
    assert hermes("digest", tmp_path / "no.mp4", "--out", tmp_path / "o").code != 0


def test_the_record_is_asked_through_a_service_and_in_its_folder(hermes, story, tmp_path):
    folder = tmp_path / "service"
    with serving(folder) as one:
        from hermes_stream.video.sources.options import SourceOptions

        one.service.open_stream("door", story, source_options=SourceOptions(pace="fast"), fps=1.0)
        while one.service.stream("door").state != "ended":
            time.sleep(0.02)
        one.service.ask("door", "what is on screen now?").wait()
        for seconds in (0.0, 2.0, 4.0, 6.0, 8.0):
            _tell_of_a_gap(one.service._running.store, seconds)
        one.service._running.store.writer.write(lambda _: None)
        _look_back(hermes, tmp_path / "remote", "--url", one.url)
    _look_back(hermes, tmp_path / "local", "--data", folder)
    both = hermes("search", "screen", "--url", "http://127.0.0.1:1", "--data", folder)
    assert both.code == 2
    assert hermes("search", "screen", "--data", tmp_path / "nothing").code != 0


@pytest.mark.parametrize(
    ("inherited", "typed"),
    [
        ({"HERMES_STORE": "postgresql://nobody@127.0.0.1:1/none"}, "--url"),
        ({"HERMES_URL": "http://127.0.0.1:1"}, "--data"),
    ],
)
def test_what_is_typed_says_where_the_record_is(inherited, typed, hermes, tmp_path, monkeypatch):
    for name, value in inherited.items():
        monkeypatch.setenv(name, value)
    with serving(tmp_path / "service") as one:
        where = (typed, one.url if typed == "--url" else tmp_path / "service")
        assert hermes("search", "screen", *where).err == "nothing was found\n"
        assert hermes("report", *where).code == 0
        for words in (("clip", "--from", "0", "--to", "1"), ("digest",)):
            run = hermes(*words, *where, "--out", tmp_path / "c.mp4", "door")
            assert "'door'" in run.err


def test_where_a_record_is_makes_it_a_stream_whatever_files_there_are(hermes, story, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "door").mkdir()  # such as what an earlier digest was written to
    with serving(tmp_path / "service") as one:
        one.service.open_stream("door", None, fps=1.0)
        assert hermes("digest", "door", "--url", one.url, "--out", "door").code == 0
        run = hermes("digest", story, "--url", one.url, "--out", "o")
    assert run.code == 1
    assert str(story) in run.err


def _tell_of_a_gap(store, seconds):
    (row,) = store.streams.all()
    event = {"kind": "gap", "stream_id": row.id, "epoch": row.epoch, "payload": {"seconds": 1.0}}
    store.tell(NewEvent(**event, pts_seconds=seconds, wall_seconds=time.time()))


def _look_back(hermes, out, *where):
    out.mkdir()
    found = hermes("search", '"on screen"', "--stream", "door", "--json", *where)
    assert [one["kind"] for one in found.document["results"]] == ["answered"]
    assert "what is on screen now?" in hermes("search", "screen", *where).out
    assert hermes("search", "...", *where).code != 0
    run = hermes("report", "--from", "1h", "--stream", "door", "--out", out / "r.html", "--json", *where)
    assert run.document["streams"][0]["answers"][0]["question"] == "what is on screen now?"
    assert "what is on screen now?" in (out / "r.html").read_text()
    assert hermes("report", "--out", out / "r.pdf", *where).code == 2
    digest = hermes("digest", "door", "--out", out / "digest", "--json", *where)
    assert digest.code == 0, digest.err
    pictures = [one["picture"] for one in digest.document["answers"] if one["picture"]]
    assert pictures
    assert all((out / "digest" / path).exists() for path in pictures)
    _chapters_of_a_stream_are_asked_for(hermes, out, *where)
    clip = hermes("clip", "door", "--from", "2", "--to", "0:06", "--out", out / "c.mp4", "--json", *where)
    assert clip.code == 0, clip.err
    assert FileSource(out / "c.mp4").codec in ("h264", "vp9")
    gone = hermes("clip", "door", "--from", "900", "--to", "901", "--out", out / "d.mp4", *where)
    assert gone.code != 0
    assert "nothing is kept" in gone.err


def _chapters_of_a_stream_are_asked_for(hermes, out, *where):
    def begun(*options):
        run = hermes("digest", "door", "--out", out / "few", "--json", *options, *where)
        assert run.code == 0, run.err
        return [one["start_seconds"] for one in run.document["chapters"]]

    assert begun() == [0]
    assert begun("--min-chapter", "1.5") == [0, 2, 4, 6]
    assert begun("--min-chapter", "1.5", "--chapters", "2") == [0, 2]


@pytest.mark.parametrize(
    "idle",
    [
        ("--tag", "a slide"),
        ("--describe", "what?"),
        ("--summarize", "what?"),
        ("--model", "tiny-qwen"),
        ("--budget-tokens", "99"),
        ("--fps", "2"),
    ],
)
def test_options_that_a_streams_past_cannot_take_are_refused(hermes, tmp_path, idle):
    run = hermes("digest", "door", "--out", tmp_path / "out", "--data", tmp_path, *idle)
    assert run.code == 2
    assert f"Invalid value for {idle[0]}" in run.err
    assert "A stream takes --from, --to, --min-chapter, --chapters" in " ".join(run.err.split())
    assert not (tmp_path / "out").exists()

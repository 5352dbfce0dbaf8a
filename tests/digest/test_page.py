"""A digest as a document, as a page, and in a folder."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from hermes_stream.digest.document import SCHEMA, digest_document, report_document
from hermes_stream.digest.folder import DigestFolder, in_hand, write_whole
from hermes_stream.digest.page import MAX_PICTURES, page_of, shown, wall_of
from hermes_stream.digest.values import (
    Chapter,
    Digest,
    DigestAnswer,
    DigestEvent,
    DigestIncident,
    Picture,
    Summary,
    Tag,
)
from hermes_stream.video.jpeg import decode_jpeg, encode_jpeg

EVIL = "</td><script>alert(1)</script>\u202e\x00 \"' onerror=x <img src=http://evil/>"
JPEG = encode_jpeg(np.full((24, 32, 3), 90, np.uint8))
SHOT = Picture(stream_seconds=2.5, jpeg=JPEG)


def digest(text: str = "a red circle", num_chapters: int = 2) -> Digest:
    chapters = [
        Chapter(start_seconds=k * 10.0, end_seconds=k * 10.0 + 10, newness=0.5, text=text, picture=SHOT)
        for k in range(num_chapters)
    ]
    return Digest(
        source=text,
        is_file=False,
        model="tiny",
        policy="HermesPolicy",
        from_seconds=0.0,
        to_seconds=20.0,
        zero_wall_seconds=1_700_000_000.0,
        chapters=tuple(chapters),
        tags=(Tag(text=text, spans=((1.0, 2.0), (3.0, 4.0))), Tag(text="never seen", spans=())),
        summary=Summary(text=text, made_from="chapters"),
        events=(DigestEvent(kind=text, stream_seconds=None, wall_seconds=1e30, text=text, score=0.123456),),
        incidents=(
            DigestIncident(
                watch=text,
                question=text,
                severity=text,
                started_seconds=1.0,
                ended_seconds=None,
                score=None,
                summary=text,
            ),
        ),
        answers=(DigestAnswer(question=text, answer=text, stream_seconds=4.0, confidence=0.9, picture=SHOT),),
        counts={"described": 2},
        newness=((0.0, 1.0), (10.0, 0.2)),
        is_cut=True,
    )


class Reading(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if data.strip() and self.tags[-1][0] != "style":
            self.texts.append(data.strip())

    def values(self, name: str) -> list[str | None]:
        """Return an attribute of all tags that have it, in order."""
        return [own[name] for _, own in self.tags if name in own]


def test_the_document_has_the_fields_of_its_schema_and_addresses_of_pictures():
    document = digest_document(digest(), lambda picture: f"p/{picture.stream_seconds}")
    assert document["schema"] == SCHEMA
    assert document["chapters"][0]["picture"] == "p/2.5"
    assert document["tags"][0] == {"text": "a red circle", "spans": [[1.0, 2.0], [3.0, 4.0]]}
    assert document["events"][0]["score"] == 0.123
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    both = report_document([digest()] * 2, in_hand_no, from_wall_seconds=0.0, to_wall_seconds=9.0)
    assert both["counts"] == {"described": 4}
    assert both["num_incidents"] == 2
    assert both["streams"][0]["chapters"][0]["picture"] is None


def in_hand_no(_: Picture) -> None:
    return None


@pytest.mark.parametrize("num_digests", [1, 2])
def test_texts_of_a_video_are_text_on_the_page(num_digests):
    page = page_of([digest(EVIL)] * num_digests, title=EVIL, read_picture=in_hand, facts=EVIL)
    read = Reading(page)
    assert not {"script", "iframe", "link", "object", "form"} & {tag for tag, _ in read.tags}
    assert all(not name.startswith("on") for _, own in read.tags for name in own)
    assert all(own["src"].startswith("data:image/jpeg;base64,") for tag, own in read.tags if tag == "img")
    assert "\u202e" not in page
    assert "\x00" not in page
    policy = next(own["content"] for tag, own in read.tags if own.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "prefers-color-scheme:dark" in page


def test_characters_that_nobody_sees_are_marked():
    assert shown("a\tb\nc") == "a\tb\nc"
    assert shown("\x07\u202e\ud800\ue000\u0378") == "\ufffd" * 5


def seen_at(*seconds: float) -> tuple[Picture, ...]:
    return tuple(Picture(stream_seconds=one, jpeg=JPEG) for one in seconds)


def incident(started: float, ended: float | None, **more) -> DigestIncident:
    told = {"watch": "door", "question": "open?", "severity": "alarm", "score": None, **more}
    return DigestIncident(started_seconds=started, ended_seconds=ended, **told)


FILM = Digest(
    source="/films/day.mp4",
    is_file=True,
    model="tiny",
    policy=None,
    from_seconds=10.0,
    to_seconds=3735.0,
    chapters=(
        Chapter(start_seconds=10.0, end_seconds=1127.5, picture=SHOT),
        Chapter(start_seconds=1127.5, end_seconds=3735.0, text="a red circle", picture=SHOT),
    ),
    tags=(Tag(text="cat", spans=((11.0, 12.0), (13.0, 14.0))), Tag(text="dog", spans=())),
    summary=Summary(text="a day", made_from="memory"),
    events=(
        DigestEvent(kind="raised", stream_seconds=61.0, wall_seconds=5.0, text="it opened"),
        DigestEvent(kind="began", stream_seconds=None, wall_seconds=90.0),
        DigestEvent(kind="ended", stream_seconds=None, text="all of it"),
    ),
    incidents=(incident(20.0, 25.0), incident(3600.0, None, severity="none", summary="who came")),
    answers=(
        DigestAnswer(question="what?", answer="a door", stream_seconds=4.0, picture=SHOT),
        DigestAnswer(question="and when?", answer="at noon", stream_seconds=None),
    ),
    newness=((10.0, 1.0), (1127.5, 0.25), (2245.0, 0.5), (3735.0, 0.0)),
)
SPANS = ["0:00:10 to 0:18:47", "0:18:47 to 1:02:15"]


def test_a_page_tells_a_digest_as_people_read_it():
    read = Reading(page_of([FILM], title="day", read_picture=in_hand, facts="made at home"))
    assert read.texts == [
        *("day", "day", "made at home", "0:00:10 to 1:02:15, tiny", "a day"),
        *("Chapters", SPANS[0], SPANS[1], "a red circle"),
        *("Tags", "cat", "0:00:11 to 0:00:12, 0:00:13 to 0:00:14", "dog", "never"),
        *("Incidents", "0:00:20", "to 0:00:25", "door", "open?"),
        *("1:00:00", "goes on", "door", "open?", "who came"),
        *("Questions", "0:00:04", "what?", "a door", "and when?", "at noon"),
        *("Events", "0:01:01", "raised", "it opened"),
        *("1970-01-01 00:01:30 UTC", "began", "ended", "all of it"),
    ]
    assert read.values("alt") == [SPANS[0], "a red circle", "what?"]
    assert read.values("class") == ["facts", "facts", "grid", "alarm", "info"]


def test_of_several_digests_each_has_a_heading_and_moments_have_the_time_of_the_day():
    stream = replace(FILM, source="yard", is_file=False, zero_wall_seconds=86_400.0, is_cut=True)
    read = Reading(page_of([stream, FILM], title="two", read_picture=in_hand_no))
    more = "There was more than is told here; ask for a shorter time."
    assert [read.texts.count(one) for one in ("yard", FILM.source, more)] == [1, 1, 1]
    assert "1970-01-02 00:00:10 UTC (0:00:10) to 1970-01-02 01:02:15 UTC (1:02:15), tiny" in read.texts
    assert "1970-01-02 01:00:00 UTC (1:00:00)" in read.texts
    alone = Reading(page_of([stream], title="t", read_picture=in_hand_no))
    assert alone.texts[2].startswith("yard, 1970-01-02 00:00:10 UTC")
    assert not alone.values("alt")


def test_the_curve_of_newness_fills_its_frame_and_has_a_line_for_each_chapter():
    read = Reading(page_of([FILM], title="t", read_picture=in_hand))
    assert read.values("points") == ["0.0,5.0 300.0,52.5 600.0,5.0 1000.0,100.0"]
    assert read.values("x1") == ["0.0", "300.0"]
    short, dull = replace(FILM, newness=FILM.newness[:1]), ((10.0, 0.5), (10.0, 0.0))
    moment = replace(FILM, newness=dull, to_seconds=10.0)
    read = Reading(page_of([short, moment], title="t", read_picture=in_hand))
    assert read.values("points") == ["0.0,5.0", "0.0,5.0 0.0,100.0"]


def test_an_incident_has_four_pictures_besides_the_first_from_before_it_where_there_are_so_many():
    first, *more = seen_at(60.0, 10.0, 20.0, 30.0, 40.0, 50.0, 61.0, 70.0)

    def shown_of(*pictures: Picture) -> list[str | None]:
        told = replace(FILM, incidents=(incident(60.0, None, picture=first, pictures=pictures),))
        bare = replace(told, chapters=(), answers=())
        return Reading(page_of([bare], title="t", read_picture=in_hand)).values("alt")

    assert shown_of(*more) == ["door", "0:00:20", "0:00:30", "0:00:40", "0:00:50"]
    assert shown_of(more[4], first, *more[5:]) == ["door", "0:00:50", "0:01:01", "0:01:10"]
    other = replace(first, jpeg=b"other")
    assert shown_of(*more[:4], other) == ["door", "0:00:10", "0:00:20", "0:00:30", "0:00:40"]
    later = shown_of(other, *more[5:], *seen_at(80.0, 90.0))
    assert later == ["door", "0:01:00", "0:01:01", "0:01:10", "0:01:20"]


def test_times_are_told_as_they_are_in_utc(machine_zone):
    machine_zone("Asia/Tokyo")
    assert wall_of(90.0) == "1970-01-01 00:01:30 UTC"


@pytest.mark.parametrize("seconds", [1e300, 1e14, float("nan")])
def test_a_time_that_no_calendar_has_is_told_as_a_number(seconds):
    assert wall_of(seconds) == f"{seconds:g} s"


def test_a_page_has_a_bounded_number_of_pictures():
    page = page_of([digest(num_chapters=MAX_PICTURES + 5)], title="t", read_picture=in_hand)
    assert page.count("<img ") == MAX_PICTURES


def test_a_folder_holds_the_page_the_document_and_its_pictures(tmp_path):
    document = DigestFolder(tmp_path / "out", in_hand).write(digest())
    assert json.loads((tmp_path / "out/digest.json").read_text()) == document
    shot = tmp_path / "out" / document["chapters"][0]["picture"]
    assert decode_jpeg(shot.read_bytes()).shape == (24, 32, 3)
    assert "a red circle" in (tmp_path / "out/digest.html").read_text()
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".html", ""}


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_whole(tmp_path / "taken", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("path", ["missing/page.html", "file/page.html", "folder"])
def test_a_file_that_cannot_be_written_is_told_by_its_own_name(path, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"\.html|folder") as found:
        write_whole(tmp_path / path, "text")
    assert found.value.filename == str(tmp_path / path)

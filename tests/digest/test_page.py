"""A digest as a document, as a page, and in a folder."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from hermes_stream.digest.document import SCHEMA, digest_document, report_document
from hermes_stream.digest.folder import DigestFolder, in_hand, write_whole
from hermes_stream.digest.page import MAX_PICTURES, page_of
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
                watch=text, question=text, severity=text, started_seconds=1.0, ended_seconds=None, score=None
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
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


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


def test_texts_of_a_video_are_text_on_the_page():
    page = page_of([digest(EVIL)] * 2, title=EVIL, read_picture=in_hand)
    read = Reading(page)
    assert not {"script", "iframe", "link", "object", "form"} & {tag for tag, _ in read.tags}
    assert all(not name.startswith("on") for _, own in read.tags for name in own)
    assert all(own["src"].startswith("data:image/jpeg;base64,") for tag, own in read.tags if tag == "img")
    assert "\u202e" not in page
    assert "\x00" not in page
    policy = next(own["content"] for tag, own in read.tags if own.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "prefers-color-scheme:dark" in page


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

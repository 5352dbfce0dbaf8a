"""Files are shown by their names, addresses as they are."""

from __future__ import annotations

import pytest

from hermes_stream.service.shown import shown_source, without_folders


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open /home/a/b.mp4: no such file", "cannot open b.mp4: no such file"),
        ("snapshot '/x/y/z.safetensors' is damaged", "snapshot 'z.safetensors' is damaged"),
        (r"C:\Users\me\a.mp4 cannot be read", "a.mp4 cannot be read"),
        ("rtsp://cam:554/live/1 and http://[::1]/a/b", "rtsp://cam:554/live/1 and http://[::1]/a/b"),
        (
            "the record postgresql+psycopg://me:***@db.lan:5433/cams was not written",
            "the record Postgres was not written",
        ),
        (
            'connection failed: connection to server at "10.0.0.7", port 5433 failed: Connection refused',
            "connection failed: Postgres failed: Connection refused",
        ),
        (
            'connection to server at "db.lan" (10.0.0.7), port 5432 failed: timeout expired',
            "Postgres failed: timeout expired",
        ),
        ("/dev/video0 is busy; see /docs; yes/no/perhaps", "/dev/video0 is busy; see /docs; yes/no/perhaps"),
    ],
)
def test_a_text_names_no_folder(text, shown):
    assert without_folders(text) == shown


def test_a_path_may_hold_blanks():
    assert without_folders("/my videos/a b.mp4 is gone", "/my videos/a b.mp4") == "a b.mp4 is gone"


@pytest.mark.parametrize("address", [None, "rtsp://a/b", "/dev/video0", "screen:", "frames"])
def test_what_is_no_file_is_shown_as_it_is(address):
    assert shown_source(address) == address

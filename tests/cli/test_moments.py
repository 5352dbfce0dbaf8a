from __future__ import annotations

import pytest

from hermes_stream.cli.moments import read_moment, split_moment


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1:30", 90),
        ("0:01:30", 90),
        ("01:30", 90),
        ("0", 0),
        ("12.5", 12.5),
        (".5", 0.5),
        ("1:02.25", 62.25),
        ("90:00", 5400),
        ("2:00:00", 7200),
        (" 7 ", 7),
    ],
)
def test_moments(text, seconds):
    assert read_moment(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "nan", "inf", "1e3", "1:60", "1:60:00", "1:2:3:4", ":30", "1:", "1.5:00", "+3"]
)
def test_what_is_no_moment(text):
    with pytest.raises(ValueError, match="is no time in a video"):
        read_moment(text)


@pytest.mark.parametrize(
    ("line", "moment", "question"),
    [
        ("12.5 what came first?", 12.5, "what came first?"),
        ("0:12   what came first?\n", 12, "what came first?"),
        ("1:02:03 what now?", 3723, "what now?"),
        ("what came first?", None, "what came first?"),
        ("12", None, "12"),
        ("3D shapes?", None, "3D shapes?"),
        ("1:75 what?", None, "1:75 what?"),
        ("  ", None, ""),
    ],
)
def test_lines_with_times(line, moment, question):
    assert split_moment(line) == (moment, question)

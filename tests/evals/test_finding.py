from __future__ import annotations

import pytest

from hermes_stream.errors import AnnotationError
from hermes_stream.evals import find_video


@pytest.fixture
def folder(tmp_path):
    for name in (
        "one.mp4",
        "videos/one.mp4",
        "videos/a/two.webm",
        "three.mkv",
        "three.srt",
        "three.avi",
        "four",
    ):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "set/five.mp4").mkdir()
    (tmp_path / "outside.mp4").touch()
    return tmp_path / "set"


@pytest.mark.parametrize(
    ("annotated", "found"),
    [
        ("one.mp4", "one.mp4"),
        ("/data/set/videos/one.mp4", "videos/one.mp4"),
        ("./videos/one.mp4", "videos/one.mp4"),
        ("/data/clips/one.mp4", "one.mp4"),
        ("C:\\data\\videos\\one.mp4", "videos/one.mp4"),
        ("/data/videos/a/two.mp4", "videos/a/two.webm"),
        ("/data/three.mp4", "three.mkv"),
        ("three", "three.mkv"),
        ("four", "four"),
        ("videos/../one.mp4", "one.mp4"),
        ("videos//a/./two.webm", "videos/a/two.webm"),
        ("/data/videos/one.npy", "videos/one.mp4"),
    ],
)
def test_found(folder, annotated, found):
    assert find_video(annotated, folder) == folder / found


@pytest.mark.parametrize(
    "annotated",
    [
        "../outside.mp4",
        "videos/../../outside.mp4",
        "ONE.mp4",
        "five.mp4",
        "two.webm",
        "videos",
        "",
        "..",
        "six",
    ],
)
def test_not_found_names_what_was_looked_for(folder, annotated):
    with pytest.raises(AnnotationError) as caught:
        find_video(annotated, folder)
    assert repr(annotated) in str(caught.value)
    assert str(folder) in str(caught.value)


def test_an_absolute_path_that_exists_elsewhere_is_not_taken(folder):
    with pytest.raises(AnnotationError, match=r"looked for .*outside\.mp4"):
        find_video(str(folder.parent / "outside.mp4"), folder)


def test_no_folder(tmp_path):
    with pytest.raises(AnnotationError, match="there is no folder"):
        find_video("one.mp4", tmp_path / "missing")

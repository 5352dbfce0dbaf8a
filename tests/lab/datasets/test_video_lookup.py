from __future__ import annotations

import pytest

from hermes_lab.datasets import VideoFinder
from hermes_stream.errors import AnnotationError


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
        "movie/tt1.npy",
        "tvqa/clip_7/00001.jpg",
        "v1.5_take.mp4",
        "b/twin.mp4",
        "c/twin.mp4",
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
        ("two.webm", "videos/a/two.webm"),
        ("/elsewhere/two.mp4", "videos/a/two.webm"),
        ("/data/tt1", "movie/tt1.npy"),
        ("tvqa/clip_7", "tvqa/clip_7"),
        ("/data/frames/clip_7", "tvqa/clip_7"),
        ("v1.5_take", "v1.5_take.mp4"),
    ],
)
def test_found(folder, annotated, found):
    assert VideoFinder(folder).find(annotated) == folder / found


@pytest.mark.parametrize(
    "annotated",
    [
        "../outside.mp4",
        "videos/../../outside.mp4",
        "ONE.mp4",
        "five.mp4",
        "videos",
        "",
        "..",
        "six",
    ],
)
def test_not_found_names_what_was_looked_for(folder, annotated):
    with pytest.raises(AnnotationError) as caught:
        VideoFinder(folder).find(annotated)
    assert repr(annotated) in str(caught.value)
    assert str(folder) in str(caught.value)


def test_an_absolute_path_that_exists_elsewhere_is_not_taken(folder):
    with pytest.raises(AnnotationError, match=r"looked for .*outside\.mp4"):
        VideoFinder(folder).find(str(folder.parent / "outside.mp4"))


def test_no_folder(tmp_path):
    with pytest.raises(AnnotationError, match="there is no folder"):
        VideoFinder(tmp_path / "missing").find("one.mp4")


def test_one_name_in_two_folders(folder):
    assert VideoFinder(folder).find("c/twin.mp4") == folder / "c/twin.mp4"
    with pytest.raises(AnnotationError, match=r"could be .*b/twin\.mp4 or .*c/twin\.mp4; rename"):
        VideoFinder(folder).find("twin.mp4")

"""``watches.json``: what is written reads back, and what is wrong is named."""

from __future__ import annotations

import json

import pytest

from hermes_lab.datasets.watch_annotations import WatchedStory, is_of_watches, read_watches, write_watches
from hermes_stream.errors import AnnotationError
from hermes_stream.synthetic.watch_truths import plan_watches
from hermes_stream.synthetic.world import generate_world


@pytest.fixture
def written(tmp_path):
    watches = plan_watches(generate_world(5, 120, scene="pan"), num_each=2, fps=4)
    assert any(one.brief for one in watches)
    story = WatchedStory(video="videos/a.mp4", duration_seconds=120.0, scene="pan", watches=watches)
    path = tmp_path / "watches.json"
    write_watches(path, [story])
    return path, story


def test_what_is_written_reads_back(written):
    path, story = written
    assert is_of_watches(path)
    assert read_watches(path) == [story]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"question": None}, r"watches\[0\] lacks 'question'"),
        ({"kind": "describe"}, "'kind' is 'describe'; it must be one of alert, state, count"),
        ({"tells": "rung"}, "'tells' is 'rung'"),
        ({"happenings": [{"seconds": -1}]}, r"happenings\[0\]: 'seconds' is -1"),
        ({"happenings": None}, "lacks 'happenings'"),
        ({"brief": [{"value": "left"}]}, r"brief\[0\] lacks 'seconds'"),
    ],
)
def test_what_is_wrong_is_named(written, change, told):
    path, _ = written
    document = json.loads(path.read_text())
    document["stories"][0]["watches"][0] |= change
    path.write_text(json.dumps(document))
    with pytest.raises(AnnotationError, match=told):
        read_watches(path)


def test_other_files_are_none(tmp_path):
    path = tmp_path / "other.json"
    assert not is_of_watches(path)
    path.write_text("[]")
    assert not is_of_watches(path)
    with pytest.raises(AnnotationError, match="is not of format"):
        read_watches(path)
    path.write_text('{"format": "hermes-watches", "format_version": 1, "stories": []}')
    with pytest.raises(AnnotationError, match="holds no watch"):
        read_watches(path)

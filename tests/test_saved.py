"""State by name: out, through plain values and tensors, and back with suspicion."""

from __future__ import annotations

import json

import pytest
import torch

from hermes_stream import SnapshotError
from hermes_stream.saved import Saved

SAVED = Saved(
    tensors={"a": torch.arange(6.0).reshape(2, 3)},
    values={"count": 3, "seconds": 1.5, "words": "x", "flag": True, "list": [1, 2], "none": None},
    parts={"inner": Saved(tensors={"a": torch.tensor([True])}, values={"count": 4})},
)


def through_a_file(saved: Saved) -> Saved:
    return Saved.of_plain(json.loads(json.dumps(saved.plain_values())), saved.flat_tensors())


def test_all_of_it_comes_back():
    back = through_a_file(SAVED)
    assert back.plain_values() == SAVED.plain_values()
    assert set(back.flat_tensors()) == {"a", "inner/a"}
    assert (back.integer("count"), back.number("seconds"), back.text("words"), back.text("none")) == (
        3,
        1.5,
        "x",
        None,
    )
    assert (back.boolean("flag"), back.integers("list", 2), back.has("none"), back.has("count")) == (
        True,
        [1, 2],
        False,
        True,
    )
    assert back.part("inner").integer("count") == 4
    assert back.part("inner").tensor("a", dtype=torch.bool, shape=(1,)).tolist() == [True]


def test_a_copy_is_ones_own():
    copy = SAVED.copied()
    copy.tensors["a"][0, 0] = 9
    assert SAVED.tensors["a"][0, 0] == 0


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda s: s.integer("seconds"), "seconds is 1.5, and must be a whole number from 0 to"),
        (lambda s: s.integer("flag"), "flag is True"),
        (lambda s: s.integer("count", most=2), "count is 3, and must be a whole number from 0 to 2"),
        (lambda s: s.integer("missing"), "missing is None"),
        (lambda s: s.integers("list", 3), r"list is \[1, 2\], and must be 3 whole numbers"),
        (lambda s: s.number("words"), "words is 'x', and must be a number"),
        (lambda s: s.number("count", most=2), "a finite number from -inf to 2"),
        (lambda s: s.boolean("count"), "must be true or false"),
        (lambda s: s.text("count"), "must be a text, or nothing"),
        (lambda s: s.part("outer"), "outer is missing, and must be a part"),
        (lambda s: s.tensor("b", dtype=torch.float32, shape=(1,)), "b is missing, and must be float32"),
        (lambda s: s.tensor("a", dtype=torch.float32, shape=(3, None)), r"of shape \[2, 3\], and must be"),
        (lambda s: s.tensor("a", dtype=torch.int64, shape=(2, 3)), "a is float32"),
        (lambda s: s.tensor("a", dtype=torch.float32, shape=(2, 3), most=4), "numbers from 0.0 to 5.0"),
        (lambda s: s.part("inner").integer("x"), "inner/x is None"),
    ],
)
def test_what_does_not_fit_is_named(read, message):
    with pytest.raises(SnapshotError, match=message):
        read(through_a_file(SAVED))


@pytest.mark.parametrize("plain", [None, [], {}, {"values": 3}, {"values": {}}, {"values": {}, "parts": [1]}])
def test_values_that_are_not_nested_are_refused(plain):
    with pytest.raises(SnapshotError, match=r"has no (values|parts)"):
        Saved.of_plain(plain, {})

"""A snapshot that is damaged, of another format, or made to deceive is refused, and says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from tests.checkpoints import random_frames

from hermes_stream import Session, Snapshot, SnapshotError
from hermes_stream.saved import Saved
from hermes_stream.stream import read_summary
from hermes_stream.stream import snapshot as snapshots

Plain = dict[str, Any]
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def whole(model) -> Snapshot:
    session = Session(
        model, "resv_bounded", budget_tokens=45, chunk_frames=4, filter="dedup", still_below=4.0
    )
    session.observe(random_frames(22))
    return session.snapshot()


def part(plain: Plain, *names: str) -> Plain:
    for name in names:
        plain = plain["parts"][name]
    return plain["values"]


def deceiving(whole: Snapshot, change: Callable[[Plain, Tensors], Any], folder: Path) -> Path:
    """Write a snapshot that says something else, its checksum right."""
    plain = json.loads(json.dumps(whole.state.plain_values()))
    tensors = {name: tensor.clone() for name, tensor in whole.state.flat_tensors().items()}
    change(plain, tensors)
    return replace(whole, state=Saved.of_plain(plain, tensors)).write(folder / "forged")


def put(name: str, index: Any, value: Any) -> Callable[[Plain, Tensors], None]:
    def change(_: Plain, tensors: Tensors) -> None:
        tensors[name][index] = value

    return change


CACHE = "context/memory/cache/"
FORGERIES: dict[str, tuple[Callable[[Plain, Tensors], Any], str]] = {
    "no number": (
        put(f"{CACHE}buffers/raw_keys.0", (0, 3, 1), float("nan")),
        r"buffers/raw_keys\.0 holds what is no number or infinite",
    ),
    "infinite": (put(f"{CACHE}buffers/values.9", (0, 0, 0), float("inf")), "values.9 holds what is no"),
    "ids twice": (put(f"{CACHE}token_ids", (slice(None), slice(5, 15)), 7), "do not ascend from 0 to below"),
    "ids of tomorrow": (put(f"{CACHE}token_ids", (0, -1), 10**9), "do not ascend"),
    "counts below none": (put(f"{CACHE}counts", (0, 0), -1), "counts holds numbers from -1 to"),
    "another time": (put(f"{CACHE}pts_seconds", (0, 0), 1e300), "pts_seconds holds numbers from"),
    "a group that is none": (
        put("context/archive/groups_of_tokens.3", (0, 0), 10**6),
        r"groups_of_tokens\.3 holds numbers from 0 to 1000000, and must be numbers from 0 to",
    ),
    "keys of another dtype": (
        lambda _, tensors: tensors.update(
            {f"{CACHE}buffers/raw_keys.1": tensors[f"{CACHE}buffers/raw_keys.1"].half()}
        ),
        r"raw_keys\.1 is float16 of shape .*, and must be float32 of shape",
    ),
    "fewer keys": (
        lambda _, tensors: tensors.update(
            {f"{CACHE}buffers/values.2": tensors[f"{CACHE}buffers/values.2"][:, 1:].contiguous()}
        ),
        r"values\.2 is float32 of shape",
    ),
    "no keys": (lambda _, tensors: tensors.pop(f"{CACHE}buffers/raw_keys.4"), r"raw_keys\.4 is missing"),
    "lengths that contradict": (
        lambda plain, _: part(plain, "context", "memory", "cache").update(lengths=[5] * 10),
        r"lengths are \[5, 5.* and must be those of num_visual",
    ),
    "more than there is room for": (
        lambda plain, _: part(plain, "context", "memory", "cache").update(
            lengths=[10**6 + 5] * 10, num_visual=[10**6] * 10
        ),
        "lengths are",
    ),
    "no layers": (
        lambda plain, _: part(plain, "context", "memory", "cache").update(num_visual=[]),
        r"num_visual is \[\], and must be 10 whole numbers",
    ),
    "an archive of everything": (
        lambda plain, _: part(plain, "context", "archive").update(num_tokens=10**12),
        "archive/num_tokens|temporal_patch_ids is int64",
    ),
    "a count that is a word": (
        lambda plain, _: part(plain, "folding").update(num_frames="many"),
        "folding/num_frames is 'many', and must be a whole number",
    ),
    "true is no number": (lambda plain, _: plain["values"].update(num_changes=True), "num_changes is True"),
    "a conversation that is none": (
        lambda plain, _: part(plain, "context", "memory").update(last_conversation=7),
        "last_conversation is 7, and must be a text",
    ),
    "frames that wait, and are none": (
        lambda _, tensors: tensors.update({"intake/waiting/0": torch.zeros(0, 4, 3, dtype=torch.uint8)}),
        "is no frame: a frame's image must have shape",
    ),
    "a time that is none": (
        lambda plain, _: part(plain, "intake", "waiting", "1").update(pts_seconds=1e300),
        "pts_seconds must be a finite number",
    ),
    "a past that the filter does not know": (
        lambda _, tensors: tensors.update(
            {
                "context/memory/filtering/past.0": torch.zeros(3, 5),
                "context/memory/filtering/past.1": torch.ones(()),
            }
        ),
        "past is none that FrameDedup can go on from",
    ),
    "no past": (lambda _, tensors: tensors.pop("context/memory/filtering/past.1"), r"past\.1 is missing"),
    "features of another shape": (
        lambda _, tensors: tensors.update({"context/memory/encoder/newest/tokens": torch.zeros(1, 2)}),
        "newest/tokens is float32 of shape",
    ),
    "no cache": (
        lambda plain, _: plain["parts"]["context"]["parts"]["memory"]["parts"].pop("cache"),
        "cache is missing, and must be a part",
    ),
    "a failed frame that is none": (
        lambda plain, _: part(plain, "folding").update(failed_index=9),
        "failed_index is 9",
    ),
}


@pytest.mark.parametrize(("change", "message"), FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_is_refused(model, whole, tmp_path, change, message):
    with pytest.raises(SnapshotError, match=message):
        Session.restore(model, deceiving(whole, change, tmp_path))


def test_the_whole_one_is_restored(model, whole, tmp_path):
    assert Session.restore(model, whole.write(tmp_path / "a")).stats.num_frames == 22


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "out of range": ({"fps": 0}, "make no stream: fps must be a positive number"),
    "another kind": ({"chunk_frames": "many"}, "option chunk_frames is 'many'"),
    "true is no number": ({"text_tokens": True}, "option text_tokens is True"),
    "no policy": ({"policy": None}, "names no policy"),
    "a policy that no name stands for": (
        {"policy": {"name": "os.system", "class": "X", "fields": {}}},
        r"which no name stands for here; install its package, or give it: policy=",
    ),
    "a field that is none": (
        {"policy": {"name": "window", "class": "WindowPolicy", "fields": {"shell": 1}}},
        "cannot be made",
    ),
    "a value that the policy refuses": (
        {"policy": {"name": "window", "class": "WindowPolicy", "fields": {"budget_tokens": -1}}},
        "budget_tokens must be at least",
    ),
    "another class": (
        {"policy": {"name": "window", "class": "Other", "fields": {}}},
        "'window' is WindowPolicy here",
    ),
    "another filter": ({"filter": {"name": "dtd"}}, "names no filter"),
}


@pytest.mark.parametrize(("options", "message"), OPTIONS.values(), ids=OPTIONS)
def test_options_that_make_no_stream_are_refused(model, whole, tmp_path, options, message):
    path = replace(whole, options={**whole.options, **options}).write(tmp_path / "a")
    with pytest.raises(SnapshotError, match=message):
        Session.restore(model, path)


def test_older_snapshots_deferred_nothing(model, whole, tmp_path):
    older = {name: value for name, value in whole.options.items() if name != "defers_compression"}
    session = Session.restore(model, replace(whole, options=older).write(tmp_path / "a"))
    assert session.snapshot().options["defers_compression"] is False


def test_options_of_another_version_are_refused(model, whole, tmp_path):
    fewer = {name: value for name, value in whole.options.items() if name != "kv_bits"}
    with pytest.raises(SnapshotError, match="written by another version"):
        Session.restore(model, replace(whole, options=fewer).write(tmp_path / "a"))


@pytest.mark.parametrize("read", [Snapshot.read, read_summary])
def test_files_that_are_none(whole, tmp_path, read, monkeypatch):
    path = tmp_path / "a"
    for content in (b"", b"\x08", b"hello, this is a text", save({"a": torch.zeros(3)})):
        path.write_bytes(content)
        with pytest.raises(SnapshotError, match="is no snapshot, or is damaged"):
            read(path)
    for document in ("[" * 100_000, "{}", "[]", '{"model": 3}', "nonsense"):
        metadata = {"format": snapshots.FORMAT, "format_version": "1", "document": document}
        metadata["sha256"] = snapshots._digest(document, {})
        path.write_bytes(save({}, metadata))
        with pytest.raises(SnapshotError, match="is damaged"):
            read(path)
    with monkeypatch.context() as patched:
        patched.setattr(snapshots, "FORMAT_VERSION", 2)
        whole.write(path)
    with pytest.raises(SnapshotError, match="has format version '2', and this program reads 1"):
        read(path)


def test_a_file_that_is_cut_off_or_changed_is_refused(whole, tmp_path):
    content = whole.write(tmp_path / "a").read_bytes()
    for damaged in (content[:-1], content[: len(content) // 2], content + b"\0", content[:-1] + b"\x7f"):
        (tmp_path / "a").write_bytes(damaged)
        with pytest.raises(SnapshotError, match="is damaged"):
            Snapshot.read(tmp_path / "a")

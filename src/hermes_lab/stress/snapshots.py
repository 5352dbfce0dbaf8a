"""Damaged and forged snapshots: none is loaded as something that it is not, and none ends the program.

Damage changes bytes as disks and cut transfers do. A forger changes what the file says, and its checksum too:
then the file is refused, or the stream that comes of it lives on. Exits 1 where anything else happened.

    python -m hermes_lab.stress.snapshots --damaged 1000 --forged 1000 --out results/stress_snapshots.json
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from hermes_lab.stress.mutations import mutated
from hermes_lab.stress.record import write_record
from hermes_stream.errors import HermesError, SnapshotError
from hermes_stream.models import VideoModel, load_model
from hermes_stream.saved import Saved
from hermes_stream.stream import Session, Snapshot
from hermes_stream.video.frame import Frame

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 2, -1, 7, 10**9, 2**63, -(2**63), 10**30, 0.5, -0.5, 1e-300, 1e300),
    *("", "a", "x" * 5000, "\ud800", "\0", "<|im_end|>", [], [1], ["a"], [0] * 10, [[]], {}, {"a": 1}),
)
_INTEGERS = (0, 1, -1, 127, -128, 2**31 - 1, -(2**31), 2**62, -(2**63), 2**63 - 1)
_NUMBERS = (0.0, 1.0, -1.0, 1e30, -1e30, 1e-30, float("nan"), float("inf"))
_QUESTION = "what is on screen now?"
_STYLES: tuple[dict[str, Any], ...] = (
    {"policy": "hermes", "filter": "dedup"},
    {"policy": "resv_bounded", "fps": 0.7},
    {"policy": "recent_n", "still_below": 4.0},
    {"policy": "full", "kv_bits": 8, "filter": "dtd"},
    {"policy": "hermes_best", "still_below": 4.0, "filter": "fluxmem"},
)


def example(model: VideoModel, style: int) -> Session:
    """Return a session that has lived a little; styles hold different things."""
    choices = dict(_STYLES[style % len(_STYLES)])
    budget = None if choices["policy"] == "full" else 5 * model.card.tokens_per_temporal_patch
    session = Session(model, choices.pop("policy"), budget_tokens=budget, chunk_frames=4, **choices)
    session.observe(frames(11, seed=style))
    session.ask(_QUESTION, max_new_tokens=2).finish()
    session.observe(frames(3, seed=style, start=11))
    return session


def frames(count: int, *, seed: int = 0, start: int = 0) -> Iterator[Frame]:
    """Yield pictures of random blocks, a second apart."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        blocks = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = blocks.repeat(6, axis=0).repeat(6, axis=1)
        yield Frame(pts_seconds=float(start + index), image=image)


def forged(snapshot: Snapshot, rng: np.random.Generator) -> Snapshot:
    """Return a snapshot that says one to three things otherwise."""
    tensors = snapshot.state.flat_tensors()
    plain = snapshot.state.plain_values()
    options = dict(snapshot.options)
    for _ in range(int(rng.integers(1, 4))):
        kind = rng.random()
        if kind < 0.6:
            name = str(rng.choice(sorted(tensors)))
            changed = _changed(tensors[name], rng)
            tensors.pop(name) if changed is None else tensors.update({name: changed})
        elif kind < 0.9:
            part = _any_part(plain, rng)
            if part["values"]:
                part["values"][str(rng.choice(sorted(part["values"])))] = _any_value(rng)
        elif kind < 0.95:
            part = _any_part(plain, rng)
            if part["parts"]:
                part["parts"].pop(str(rng.choice(sorted(part["parts"]))))
        else:
            options[str(rng.choice(sorted(options)))] = _any_value(rng)
    return replace(snapshot, state=Saved.of_plain(plain, tensors), options=options)


def _any_value(rng: np.random.Generator) -> Any:
    return _VALUES[int(rng.integers(len(_VALUES)))]


def _any_part(plain: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    while plain["parts"] and rng.random() < 0.8:
        plain = plain["parts"][str(rng.choice(sorted(plain["parts"])))]
    return plain


def _changed(tensor: torch.Tensor, rng: np.random.Generator) -> torch.Tensor | None:
    """Return other numbers, another shape or another dtype; None drops the tensor."""
    tensor, kind = tensor.clone(), int(rng.integers(6))
    if kind == 0:
        return None
    if kind == 1:
        return tensor.flatten()[: int(rng.integers(0, tensor.numel() + 1))].contiguous()
    if kind == 2:
        dtypes = (torch.float32, torch.float16, torch.int64, torch.int8, torch.uint8, torch.bool)
        return tensor.to(dtypes[int(rng.integers(len(dtypes)))])
    if kind == 3:
        return tensor.unsqueeze(int(rng.integers(tensor.dim() + 1))).contiguous()
    if not tensor.numel():
        return torch.zeros(3, dtype=tensor.dtype)
    flat = tensor.view(-1)
    places = torch.from_numpy(rng.integers(0, len(flat), int(rng.integers(1, 5))))
    if tensor.is_floating_point():
        flat[places] = torch.tensor(_NUMBERS[int(rng.integers(len(_NUMBERS)))]).to(tensor.dtype)
    elif tensor.dtype is torch.bool:
        flat[places] = ~flat[places]
    else:
        limits = torch.iinfo(tensor.dtype)
        number = _INTEGERS[int(rng.integers(len(_INTEGERS)))]
        flat[places] = max(limits.min, min(limits.max, number))
    return tensor


def outcome_of_damage(content: bytes, whole: Snapshot, path: Path) -> str:
    """Read damaged bytes; tell what happened: "refused", or "same" where the damage changed no meaning."""
    path.write_bytes(content)
    try:
        read = Snapshot.read(path)
    except SnapshotError:
        return "refused"
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    is_same = replace(read, state=Saved()) == replace(whole, state=Saved())
    ours, theirs = whole.state.flat_tensors(), read.state.flat_tensors()
    is_same &= ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    is_same &= read.state.plain_values() == _through_json(whole.state.plain_values())
    return "same" if is_same else "loaded wrongly"


def outcome_of_forgery(model: VideoModel, snapshot: Snapshot, path: Path) -> str:
    """Restore a forged snapshot; tell what happened: "refused", or "lived on"."""
    try:
        session = Session.restore(model, snapshot.write(path))
    except SnapshotError:
        return "refused"
    except HermesError:
        return "refused otherwise"
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    try:
        newest_seconds = session._stream.intake.newest_seconds or 0.0
        for frame in frames(9, seed=1):
            session.observe(replace(frame, pts_seconds=newest_seconds + 1 + frame.pts_seconds))
        session.ask(_QUESTION, max_new_tokens=2).finish()
    except (HermesError, ValueError):
        return "lived on to an error that says why"
    except Exception as error:
        return f"lived on to {type(error).__name__}: {error}"
    return "lived on"


def _through_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _through_json(one) for name, one in value.items()}
    return list(value) if isinstance(value, tuple) else value


_GOOD = {"refused", "refused otherwise", "same", "lived on", "lived on to an error that says why"}


def try_all(model: VideoModel, *, num_damaged: int, num_forged: int, seed: int = 0) -> dict[str, Any]:
    """Damage and forge snapshots of all styles; return numbers for the record."""
    rng, began = np.random.default_rng(seed), time.perf_counter()
    snapshots = [example(model, style).snapshot() for style in range(len(_STYLES))]
    outcomes: dict[str, Counter[str]] = {"damaged": Counter(), "forged": Counter()}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot"
        contents = [snapshot.write(path).read_bytes() for snapshot in snapshots]
        for index in range(num_damaged):
            style = index % len(snapshots)
            content = mutated(contents[style], rng)[0]
            outcomes["damaged"][outcome_of_damage(content, snapshots[style], path)] += 1
        for index in range(num_forged):
            outcomes["forged"][_forged_outcome(model, snapshots[index % len(snapshots)], rng, path)] += 1
    bad = sum(count for own in outcomes.values() for what, count in own.items() if what not in _GOOD)
    return {
        "num_bad": bad,
        "seconds": time.perf_counter() - began,
        "outcomes": {name: dict(own) for name, own in outcomes.items()},
    }


def _forged_outcome(model: VideoModel, snapshot: Snapshot, rng: np.random.Generator, path: Path) -> str:
    try:
        written = forged(snapshot, rng)
    except SnapshotError:  # what it says is not even nested
        return "refused"
    return outcome_of_forgery(model, written, path)


def main() -> None:
    """Try damaged and forged snapshots; exit 1 where one was loaded wrongly or ended in a surprise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--damaged", type=int, default=1000)
    parser.add_argument("--forged", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    model = load_model("tiny")
    numbers = try_all(model, num_damaged=given.damaged, num_forged=given.forged, seed=given.seed)
    write_record(given.out, "snapshots", {"seed": given.seed, **numbers})
    raise SystemExit(1 if numbers["num_bad"] else 0)


if __name__ == "__main__":
    main()

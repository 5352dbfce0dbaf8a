"""A checkpoint's safetensors files, known from their headers before a byte of a weight is read.

The module knows nothing about models: it says which files there are, whether they are whole, and how large.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes_stream.errors import ModelError
from hermes_stream.models.loading.messages import first_line
from hermes_stream.models.settings import read_settings

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000
_FLOATING = {"F64", "F32", "F16", "BF16"}
_ITEM_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1}
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFiles:
    """The weights of a checkpoint folder.

    Attributes:
        paths: the files, in the order of their names.
        stored_bytes: bytes of all tensors as they are stored.
        num_floating: elements of tensors that a dtype may be chosen for.
        other_bytes: bytes of the other tensors: integers, and numbers of 8 bits or fewer.
        quantised: names of weights and biases among the other tensors.
    """

    paths: tuple[Path, ...]
    stored_bytes: int
    num_floating: int
    other_bytes: int
    quantised: tuple[str, ...] = ()

    def loaded_bytes(self, itemsize: int | None) -> int:
        """Return the bytes that the weights take once loaded.

        Args:
            itemsize: bytes of one number of the chosen dtype; None keeps every tensor as it is stored.
        """
        return self.stored_bytes if itemsize is None else self.num_floating * itemsize + self.other_bytes


def read_weight_files(folder: Path) -> WeightFiles:
    """Find the weights of a folder and check that every file is there and whole.

    Raises:
        ModelError: there are no safetensors weights, a file of the index is missing, or one is broken.
    """
    paths = _find(folder)
    stored = floating = other = 0
    quantised = []
    for path in paths:
        for name, tensor in read_header(path).items():
            begin, end = tensor["data_offsets"]
            stored += end - begin
            if tensor["dtype"] in _FLOATING:
                floating += math.prod(tensor["shape"])
            else:
                other += end - begin
                quantised += [name] if name.endswith((".weight", ".bias")) else []
    return WeightFiles(
        paths=paths,
        stored_bytes=stored,
        num_floating=floating,
        other_bytes=other,
        quantised=tuple(quantised),
    )


def names_in_index(path: Path) -> tuple[str, ...]:
    """Return the names of the files that an index lists.

    Raises:
        ModelError: the index cannot be read, or names a file outside its folder.
    """
    try:
        names = set(read_settings(path).values["weight_map"].values())
    except (ModelError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} is no index of safetensors files: it must hold a weight_map from tensor to file; "
            f"download or copy the checkpoint again"
        ) from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelError(f"{path} names {name!r}; its files, *.safetensors, must lie beside it")
    return tuple(sorted(names))


def read_header(path: Path) -> Mapping[str, Any]:
    """Read which tensors a safetensors file holds, and check that the file is as long as they need.

    Raises:
        ModelError: the file is truncated, or no safetensors file.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    with file:
        num_bytes = path.stat().st_size
        header_bytes = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        begin = _LENGTH_BYTES + header_bytes
        if num_bytes < _LENGTH_BYTES or header_bytes > _MAX_HEADER_BYTES:
            raise _broken(path, "it does not begin as one")
        if num_bytes < begin:
            raise _broken(
                path, f"its header alone takes {header_bytes:,} bytes and the file has {num_bytes:,}"
            )
        try:
            header = json.loads(file.read(header_bytes))
            header.pop("__metadata__", None)
            needed = begin + max((_end(it) for it in header.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _broken(path, f"its header cannot be read ({first_line(error)})") from error
    if num_bytes != needed:
        kind = "truncated" if num_bytes < needed else "too long"
        raise _broken(path, f"it is {kind}: {num_bytes:,} bytes, and its header tells of {needed:,}")
    return header


def _end(tensor: Mapping[str, Any]) -> int:
    """Return where a tensor ends, once its entry in a header is known to make sense."""
    (begin, end), shape, dtype = tensor["data_offsets"], tensor["shape"], tensor["dtype"]
    numbers = [begin, end, *shape]
    if not isinstance(dtype, str) or any(type(it) is not int or it < 0 for it in numbers) or end < begin:
        raise ValueError(f"no tensor has shape {shape!r}, dtype {dtype!r} and offsets {[begin, end]!r}")
    itemsize = _ITEM_BYTES.get(dtype)
    if itemsize is not None and end - begin != math.prod(shape) * itemsize:
        raise ValueError(f"{shape!r} of {dtype} do not take {end - begin} bytes")
    return int(end)


def _find(folder: Path) -> tuple[Path, ...]:
    if (folder / WEIGHTS_FILE).is_file():
        return (folder / WEIGHTS_FILE,)
    index = folder / INDEX_FILE
    if index.is_file():
        paths = tuple(folder / name for name in names_in_index(index))
        missing = [path.name for path in paths if not path.is_file()]
        if missing or not paths:
            raise ModelError(
                f"{len(missing)} of the {len(paths)} weight files that {index} names are missing, the first "
                f"is {missing[0] if missing else 'none'}; download or copy the checkpoint again"
            )
        return paths
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
    if pickled:
        raise ModelError(
            f"the weights in {folder} are pickled ({', '.join(pickled[:3])}), which could run any code and "
            f"is not loaded; save them as safetensors ({WEIGHTS_FILE}), or take a revision that has them"
        )
    raise ModelError(
        f"no weights in {folder}; give a folder with {WEIGHTS_FILE}, or with {INDEX_FILE} and the files it "
        "names"
    )


def _broken(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} is no whole safetensors file: {why}; download or copy the weights again")

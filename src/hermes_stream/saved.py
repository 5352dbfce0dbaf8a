"""What an object needs to go on as it is: tensors and plain values by name, taken back with suspicion.

A stream's nouns each give their own (``saved``) and take it back (``restore``), into one made alike. In
memory that is a fork; through a file it is a snapshot, and a file may hold anything: what is taken out is
checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hermes_stream.errors import SnapshotError

_MOST = 2**53
_DAMAGED = "the snapshot is damaged, or not one of this program; take an older one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One object's state.

    Attributes:
        tensors: by name; views, until ``copied``.
        values: by name: whole numbers, finite numbers, texts, None, and lists of these.
        parts: states of what the object consists of, by name.
        path: of names that led here, for messages.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Saved] = field(default_factory=dict)
    path: str = ""

    def copied(self) -> Saved:
        """Return the same in host memory of its own, so that the object may go on."""
        return Saved(
            tensors={
                name: tensor.detach().to("cpu", copy=True).contiguous()
                for name, tensor in self.tensors.items()
            },
            values=self.values,
            parts={name: part.copied() for name, part in self.parts.items()},
        )

    def flat_tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Return all tensors, each under the path of its names."""
        flat = {f"{prefix}{name}": tensor for name, tensor in self.tensors.items()}
        for name, part in self.parts.items():
            flat |= part.flat_tensors(f"{prefix}{name}/")
        return flat

    def plain_values(self) -> dict[str, Any]:
        """Return all values, those of parts nested."""
        parts = {name: part.plain_values() for name, part in self.parts.items()}
        return {"values": dict(self.values), "parts": parts}

    @classmethod
    def of_plain(cls, plain: Any, tensors: Mapping[str, Tensor], path: str = "") -> Saved:
        """Return what ``plain_values`` and ``flat_tensors`` were made of.

        Raises:
            SnapshotError: the values are not nested as they are there.
        """
        if not (isinstance(plain, dict) and isinstance(plain.get("values"), dict)):
            raise SnapshotError(f"{path or 'the state'} has no values; {_DAMAGED}")
        parts = plain.get("parts")
        if not isinstance(parts, dict):
            raise SnapshotError(f"{path or 'the state'} has no parts; {_DAMAGED}")
        own = {name[len(path) :]: tensor for name, tensor in tensors.items() if name.startswith(path)}
        return cls(
            tensors={name: tensor for name, tensor in own.items() if "/" not in name},
            values=plain["values"],
            parts={name: cls.of_plain(part, tensors, f"{path}{name}/") for name, part in parts.items()},
            path=path,
        )

    def part(self, name: str) -> Saved:
        """Return the state of a part.

        Raises:
            SnapshotError: there is none.
        """
        if name not in self.parts:
            raise self._refusal(name, "is missing", "a part")
        return self.parts[name]

    def integer(self, name: str, *, least: int = 0, most: int = _MOST) -> int:
        """Return a whole number within bounds.

        Raises:
            SnapshotError: it is none.
        """
        value = self.values.get(name)
        if not _is_integer(value, least, most):
            raise self._refusal(name, f"is {_short(value)}", f"a whole number from {least} to {most}")
        return int(value)  # type: ignore[arg-type]

    def integers(self, name: str, count: int, *, least: int = 0, most: int = _MOST) -> list[int]:
        """Return a list of so many whole numbers within bounds.

        Raises:
            SnapshotError: it is none.
        """
        value = self.values.get(name)
        if not (
            isinstance(value, list | tuple)
            and len(value) == count
            and all(_is_integer(one, least, most) for one in value)
        ):
            raise self._refusal(name, f"is {_short(value)}", f"{count} whole numbers from {least} to {most}")
        return list(value)

    def number(self, name: str, *, least: float = -math.inf, most: float = math.inf) -> float:
        """Return a finite number within bounds, whole or not as it was.

        Raises:
            SnapshotError: it is none.
        """
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refusal(name, f"is {_short(value)}", "a number")
        if not (least <= value <= most and abs(value) < math.inf):
            raise self._refusal(name, f"is {_short(value)}", f"a finite number from {least} to {most}")
        return value

    def boolean(self, name: str) -> bool:
        """Return True or False.

        Raises:
            SnapshotError: it is neither.
        """
        value = self.values.get(name)
        if not isinstance(value, bool):
            raise self._refusal(name, f"is {_short(value)}", "true or false")
        return value

    def text(self, name: str) -> str | None:
        """Return a text, or None.

        Raises:
            SnapshotError: it is neither.
        """
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise self._refusal(name, f"is {_short(value)}", "a text, or nothing")
        return value

    def has(self, name: str) -> bool:
        """Tell whether there is such a value that is not None."""
        return self.values.get(name) is not None

    def tensor(
        self,
        name: str,
        *,
        dtype: torch.dtype,
        shape: tuple[int | None, ...],
        least: float | None = None,
        most: float | None = None,
    ) -> Tensor:
        """Return a tensor whose numbers are finite and within bounds.

        Args:
            name: of the tensor.
            dtype: that it must have.
            shape: that it must have; None takes any length along an axis.
            least: of its numbers; None has no bound.
            most: of its numbers; None has no bound.

        Raises:
            SnapshotError: it is missing or another one.
        """
        tensor = self.tensors.get(name)
        wanted = f"{_name(dtype)} of shape {list(shape)}"
        if tensor is None:
            raise self._refusal(name, "is missing", wanted)
        fits = tensor.dim() == len(shape) and all(
            length in (None, own) for own, length in zip(tensor.shape, shape, strict=True)
        )
        if not fits or tensor.dtype != dtype:
            raise self._refusal(name, f"is {_name(tensor.dtype)} of shape {list(tensor.shape)}", wanted)
        if tensor.numel() and dtype is not torch.bool:
            self._check_numbers(name, tensor, least, most)
        return tensor

    def _check_numbers(self, name: str, tensor: Tensor, least: float | None, most: float | None) -> None:
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise self._refusal(name, "holds what is no number or infinite", "finite numbers")
        smallest, largest = (one.item() for one in tensor.aminmax())
        if (least is not None and smallest < least) or (most is not None and largest > most):
            raise self._refusal(
                name, f"holds numbers from {smallest} to {largest}", f"numbers from {least} to {most}"
            )

    def _refusal(self, name: str, got: str, wanted: str) -> SnapshotError:
        return SnapshotError(f"{self.path}{name} {got}, and must be {wanted}; {_DAMAGED}")


def _is_integer(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

"""What installed packages add to this one by entry points: commands, policies, model families.

::

    [project.entry-points."hermes_stream.policies"]     makes a policy of budget_tokens=N, and of nothing
    [project.entry-points."hermes_stream.models"]       an adapter, by its family (transformers' model_type)
    [project.entry-points."hermes_stream.commands"]     a function that typer takes

Entry points are looked for on the first lookup, and each is imported when it is used for the first time: a
broken package costs its own names alone. examples/plugin/ is a package that joins by all three.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, final

from hermes_stream.errors import PluginError

T = TypeVar("T")


@final
class Registry(Mapping[str, T], Generic[T]):
    """Values by name: this package's own first, then those of entry points, by name.

    Args:
        group: of the entry points.
        own: values of this package.

    Attributes:
        own: values of this package.
    """

    def __init__(self, group: str, own: Mapping[str, T]) -> None:
        self._group = group
        self.own = own
        self._loaded: dict[str, T] = {}

    @cached_property
    def _points(self) -> dict[str, list[EntryPoint]]:
        points: dict[str, list[EntryPoint]] = {}
        for point in sorted(entry_points(group=self._group), key=lambda point: point.name):
            points.setdefault(point.name, []).append(point)
        return points

    def __getitem__(self, name: str) -> T:
        """Return the value of a name.

        Raises:
            KeyError: there is no such name.
            PluginError: several packages offer the name, or its package cannot be imported.
        """
        points = self._points.get(name, [])
        offers = ["hermes-stream itself"] * (name in self.own) + [_origin(point) for point in points]
        if len(offers) > 1:
            raise PluginError(
                f"{self._group}: {name!r} is offered by {' and by '.join(offers)}; uninstall one of them"
            )
        if not points:
            return self.own[name]
        if name not in self._loaded:
            try:
                self._loaded[name] = points[0].load()
            except Exception as error:  # whatever a foreign module raises while it is imported
                raise PluginError(
                    f"{self._group}: {name!r} of {offers[0]} cannot be loaded ({type(error).__name__}: "
                    f"{error}); mend or uninstall that package"
                ) from error
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        # Mapping would look the value up, and so import what is only named in a list.
        return name in self.own or name in self._points

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from (name for name in self._points if name not in self.own)

    def __len__(self) -> int:
        return len({*self.own, *self._points})


def _origin(point: EntryPoint) -> str:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "a package"
    return f"{package} ({point.value})"

"""What a stream is opened with, defaults resolved: kept as JSON, so that it opens again the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from hermes_stream.filters import choose_filter
from hermes_stream.filters.base import TokenFilter
from hermes_stream.models.base import VideoModel
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.policies.named import policy_named
from hermes_stream.service.settings import StreamSettings
from hermes_stream.stream.capacity import Capacity, plan_capacity
from hermes_stream.video.sources.options import SourceOptions
from hermes_stream.video.sources.policy import SourcePolicy
from hermes_stream.video.sources.source import ClockPoint

_FRAMING = ("crop", "rotation", "privacy_mask")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """A stream that somebody wants opened; see ``Service.open_stream``.

    Attributes:
        name: of the stream.
        source: what it watches.
        choices: fields of ``StreamSettings`` that were given.
        source_options: how the source is read.
        allow_sources: patterns that its address must match; None trusts it.
        private_networks: networks that it may lie in.
        owner: number of the key in whose name it is opened.
        replace_source: go on with another source than before.
        changes_others: change a stream of another owner, too.
    """

    name: str
    source: Any
    choices: Mapping[str, Any]
    source_options: SourceOptions | None
    allow_sources: tuple[str, ...] | None
    private_networks: tuple[str, ...]
    owner: int | None
    replace_source: bool = False
    changes_others: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamChoices:
    """What a stream is opened with.

    Attributes:
        policy: what the memory keeps, as it is named.
        budget_tokens: visual tokens that each layer keeps; None where the policy takes no budget.
        filter: name of the token filter.
        fps: frames sampled per second; None takes all.
        chunk_frames: frames that are folded in together.
        chunk_was_given: somebody asked for so many, and watches leave it; what is recorded without was.
        text_tokens: room for a question and its answer.
        kv_bits: 8, or None for the model's own.
        still_below: see ``Session``.
        source: fields of ``SourceOptions`` that are not as by default.
        allow: patterns of addresses that the source may have; None where it was trusted.
        private_networks: networks that it may lie in, though private; see ``SourcePolicy``.
    """

    policy: str
    budget_tokens: int | None
    filter: str | None
    fps: float | None
    chunk_frames: int
    text_tokens: int | None
    kv_bits: Literal[8] | None
    still_below: float | None
    chunk_was_given: bool = True
    source: Mapping[str, Any] = field(default_factory=dict)
    allow: tuple[str, ...] | None = None
    private_networks: tuple[str, ...] = ()

    @classmethod
    def resolve(
        cls,
        model: VideoModel,
        settings: StreamSettings,
        source: SourceOptions | None = None,
        source_policy: SourcePolicy | None = None,
    ) -> StreamChoices:
        """Fill in what a model decides.

        Raises:
            ValueError: there is no such policy or filter, or a value is not accepted.
        """
        named = policy_named(settings.policy)
        policy = named.with_budget(settings.budget_tokens, model.card.default_budget_tokens)
        choose_filter(settings.filter)
        plain = SourceOptions()
        chosen = {
            one.name: getattr(source, one.name)
            for one in fields(SourceOptions)
            if source is not None and getattr(source, one.name) != getattr(plain, one.name)
        }
        chosen.pop("goes_on", None)
        return cls(
            policy=settings.policy,
            budget_tokens=policy.budget_tokens,
            filter=settings.filter,
            fps=chosen.pop("fps", None) or settings.fps or model.card.default_fps,
            chunk_frames=settings.chunk_frames,
            chunk_was_given="chunk_frames" in settings.model_fields_set,
            text_tokens=settings.text_tokens,
            kv_bits=settings.kv_bits,
            still_below=settings.still_below,
            source=chosen,
            allow=None if source_policy is None else source_policy.allow,
            private_networks=() if source_policy is None else source_policy.private_networks,
        )

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> StreamChoices:
        """Return what was kept as JSON."""
        allow, networks = values.get("allow"), tuple(values.get("private_networks", ()))
        source = {name: _tuples(value) for name, value in values.get("source", {}).items()}
        own = {"allow": None if allow is None else tuple(allow), "private_networks": networks}
        return cls(**{**values, "source": source, **own})

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    def memory_policy(self, model: VideoModel) -> MemoryPolicy:
        """Return the policy."""
        return policy_named(self.policy).with_budget(self.budget_tokens, model.card.default_budget_tokens)

    def capacity(self, model: VideoModel) -> Capacity:
        """Return what a stream takes of a model.

        Raises:
            CapacityError: the model's positions do not hold it.
        """
        return plan_capacity(
            model,
            self.memory_policy(model),
            chunk_frames=self.chunk_frames,
            text_tokens=self.text_tokens,
            kv_bits=self.kv_bits,
        )

    def watched_chunk_frames(self, model: VideoModel) -> int:
        """Return how many frames are folded in together while watches are asked.

        A watch is as old as its chunk: where nobody asked for another, a chunk is a second.
        """
        if self.chunk_was_given or self.fps is None:
            return self.chunk_frames
        return min(self.chunk_frames, model.card.frames_of_a_second(self.fps))

    @property
    def token_filter(self) -> TokenFilter | None:
        """The filter, if there is one."""
        return choose_filter(self.filter)

    @property
    def framing(self) -> dict[str, Any]:
        """What of a picture is seen, where that is not all."""
        return {name: self.source[name] for name in _FRAMING if name in self.source}

    @property
    def time_zone(self) -> str | None:
        """Of the source's schedule; None where it names none."""
        return self.source.get("time_zone")

    @property
    def source_policy(self) -> SourcePolicy:
        """What may be opened."""
        return SourcePolicy(allow=self.allow, private_networks=self.private_networks)

    def source_options(self, goes_on: ClockPoint | None, max_image_pixels: int) -> SourceOptions:
        """Return how the source is read.

        Args:
            goes_on: where the stream's clock stands already.
            max_image_pixels: of a frame; more would only be shrunk later.
        """
        chosen = {"max_image_pixels": max_image_pixels, **self.source}
        return SourceOptions(**chosen, fps=self.fps, goes_on=goes_on)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value

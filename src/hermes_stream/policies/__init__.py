"""Methods that bound the memory of a stream, one file each."""

from __future__ import annotations

from collections.abc import Callable

from hermes_stream.plugins import Registry
from hermes_stream.policies.base import Guidance, GuidancePrompts, MemoryPolicy, PolicyFacts
from hermes_stream.policies.full import FullPolicy
from hermes_stream.policies.hermes import HermesPolicy
from hermes_stream.policies.infinipot_v import InfinipotVPolicy
from hermes_stream.policies.livevlm import LiveVlmPolicy
from hermes_stream.policies.random import RandomPolicy
from hermes_stream.policies.recent_n import RecentNPolicy
from hermes_stream.policies.rekv import RekvPolicy
from hermes_stream.policies.resv import ResvPolicy
from hermes_stream.policies.stratified import StratifiedPolicy
from hermes_stream.policies.streaming_vlm import StreamingVlmPolicy
from hermes_stream.policies.streammem import StreamMemPolicy
from hermes_stream.policies.uniform import UniformPolicy
from hermes_stream.policies.window import WindowPolicy

__all__ = [
    "POLICIES",
    "FullPolicy",
    "Guidance",
    "GuidancePrompts",
    "HermesPolicy",
    "InfinipotVPolicy",
    "LiveVlmPolicy",
    "MemoryPolicy",
    "PolicyFacts",
    "RandomPolicy",
    "RecentNPolicy",
    "RekvPolicy",
    "ResvPolicy",
    "StratifiedPolicy",
    "StreamMemPolicy",
    "StreamingVlmPolicy",
    "UniformPolicy",
    "WindowPolicy",
]

_OWN: dict[str, Callable[..., MemoryPolicy]] = {
    "hermes": HermesPolicy.best,
    "hermes_best": HermesPolicy.best,
    "hermes_paper": HermesPolicy.paper,
    "full": FullPolicy,
    "window": WindowPolicy,
    "streaming_vlm": StreamingVlmPolicy,
    "recent_n": RecentNPolicy,
    "uniform": UniformPolicy,
    "random": RandomPolicy,
    "stratified": StratifiedPolicy,
    "infinipot_v": InfinipotVPolicy,
    "streammem": StreamMemPolicy,
    "livevlm": LiveVlmPolicy,
    "rekv": RekvPolicy,
    "rekv_bounded": RekvPolicy.bounded,
    "resv": ResvPolicy,
    "resv_bounded": ResvPolicy.bounded,
}
POLICIES = Registry("hermes_stream.policies", _OWN)
"""What makes each policy, by name; installed packages add theirs. ``hermes`` is the default."""

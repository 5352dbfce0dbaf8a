"""The families that have an adapter, by transformers' ``model_type``."""

from __future__ import annotations

from hermes_stream.models.base import VideoModel
from hermes_stream.models.internvl import InternVL
from hermes_stream.models.llava_onevision import LlavaOnevision
from hermes_stream.models.qwen3_vl import Qwen3VL
from hermes_stream.models.qwen_vl import Qwen2VL, Qwen25VL
from hermes_stream.models.smolvlm import SmolVLM
from hermes_stream.plugins import Registry

_OWN: dict[str, type[VideoModel]] = {
    adapter.family: adapter for adapter in (LlavaOnevision, Qwen2VL, Qwen25VL, Qwen3VL, InternVL, SmolVLM)
}
MODELS = Registry("hermes_stream.models", _OWN)
"""The adapter of each family; installed packages add theirs."""

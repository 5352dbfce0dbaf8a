"""A model family: checkpoints that are LLaVA-OneVision in all but their ``model_type``.

A family with a vision tower or a chat of its own writes its own adapter: see docs/adding-a-model.md.
"""

from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
)

from hermes_stream.models.llava_onevision import LlavaOnevision

__all__ = ["LlavaOnevision"]


class DoorbellConfig(LlavaOnevisionConfig):
    """Settings of a checkpoint whose config.json says ``doorbell``."""

    model_type = "doorbell"


class DoorbellForConditionalGeneration(LlavaOnevisionForConditionalGeneration):
    """What transformers loads for such a checkpoint."""

    config_class = DoorbellConfig


AutoConfig.register(DoorbellConfig.model_type, DoorbellConfig)
AutoModelForImageTextToText.register(DoorbellConfig, DoorbellForConditionalGeneration)

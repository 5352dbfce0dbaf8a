"""Model families: one adapter file each, loaded by name."""

from hermes_stream.models.base import ModelCard, VideoModel
from hermes_stream.models.loading.load import EMBEDDED, MODELS, load_model

__all__ = ["load_model", "VideoModel", "ModelCard", "MODELS", "EMBEDDED"]

"""Model families: one adapter file each, loaded by name.

``base`` has the seam and the way from a frame to tokens, ``families`` the table of adapters, ``loading`` the
way from a name to a model.
"""

from hermes_stream.models.base import VideoModel
from hermes_stream.models.card import ModelCard
from hermes_stream.models.families import MODELS
from hermes_stream.models.loading.load import EMBEDDED, load_model

__all__ = ["load_model", "VideoModel", "ModelCard", "MODELS", "EMBEDDED"]

"""hermes-stream as a model of lmms-eval, found by its entry point."""

from __future__ import annotations

from typing import Any


def manifest() -> Any:
    """Return what lmms-eval wants to know of the model; lmms-eval calls this."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="hermes", simple_class_path="hermes_lmms_eval.model.Hermes")

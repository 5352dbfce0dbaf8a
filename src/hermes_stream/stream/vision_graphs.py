"""The vision tower's forward of a few pictures, which a GPU captures once for each shape and replays."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable
from dataclasses import replace
from typing import final

import torch

from hermes_stream.models.base import VideoModel
from hermes_stream.models.visual import Features, Pixels, joined_features, small_parts
from hermes_stream.stream.recording import Recording, RecordingPool

log = logging.getLogger(__name__)
_USES_BEFORE = 2  # shapes that come once are not worth it, and what runs first may set itself up
_MAX_SHAPES = 4


class VisionGraphs:
    """The forwards of a model's vision tower.

    Args:
        model: a loaded model, on one GPU.
    """

    def __init__(self, model: VideoModel) -> None:
        self._model = model
        self._pool = RecordingPool(model.layout.device)
        self._uses: Counter[Hashable] = Counter()
        self._graphs: dict[Hashable, _Graph | None] = {}

    def encode(self, pixels: Pixels) -> Features:
        """Run the vision tower on a few pictures at a time, see ``VideoModel.encode_in_parts``."""
        parts = small_parts(pixels, self._model.card.frames_per_temporal_patch)
        return joined_features([self._encode(part) for part in parts])

    def _encode(self, part: Pixels) -> Features:
        shape = (part.values.shape, part.grid)
        if shape not in self._graphs and len(self._graphs) < _MAX_SHAPES:
            self._uses[shape] += 1
            if self._uses[shape] > _USES_BEFORE:
                self._graphs[shape] = self._captured(part)
                self._uses.clear()
        graph = self._graphs.get(shape)
        return self._model.encode(part) if graph is None else graph.run(part)

    def _captured(self, part: Pixels) -> _Graph | None:
        try:
            return _Graph(self._model, part, self._pool)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.info("pictures of shape %s are encoded uncaptured: %s", tuple(part.values.shape), error)
            return None


@final
class _Graph:
    """The captured forward of pictures of one shape."""

    def __init__(self, model: VideoModel, part: Pixels, pool: RecordingPool) -> None:
        self._model, self._part = model, replace(part, values=part.values.clone())
        self._recording = Recording(self._compute, pool)

    def _compute(self) -> None:
        self._features = self._model.encode(self._part)

    def run(self, part: Pixels) -> Features:
        """Return the features of pictures, in memory of their own."""
        self._part.values.copy_(part.values)
        self._recording.replay()
        deepstack = self._features.deepstack
        return replace(
            self._features,
            tokens=self._features.tokens.clone(),
            deepstack=None if deepstack is None else deepstack.clone(),
        )

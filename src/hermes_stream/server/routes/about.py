"""What runs here: versions, the model, where it computes, and what a memory may follow."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import torch
from fastapi import APIRouter
from pydantic import BaseModel

from hermes_stream import __version__
from hermes_stream.errors import PluginError
from hermes_stream.policies import POLICIES
from hermes_stream.server.bodies import ERRORS, Listing
from hermes_stream.server.state import State, needs

router = APIRouter(prefix="/v1", tags=["about"], responses=ERRORS)


class ModelAbout(BaseModel, use_attribute_docstrings=True):
    """The model that answers."""

    name: str
    """What it was loaded by."""
    family: str
    """Its kind, as transformers names it."""
    knows: str | None
    """The only thing that it understands; none for general models."""
    device: str
    """Where it computes."""
    dtype: str
    """In which numbers."""
    num_layers: int
    """Layers of its decoder, each with a memory of its own."""
    default_fps: float
    """Pictures a second that a stream samples, where it says nothing else."""
    default_budget_tokens: int
    """Visual tokens that a layer keeps, where a stream says nothing else."""
    tokens_per_temporal_patch: int
    """Visual tokens that a picture, or what is encoded as one, takes."""


class AboutBody(BaseModel, use_attribute_docstrings=True):
    """What runs here."""

    version: str
    """Of hermes-stream."""
    versions: dict[str, str]
    """Of Python and of what computes."""
    machine: str
    """Operating system and processor."""
    device_name: str
    """Name of the device, where it has one."""
    num_threads: int
    """Threads of the processor that compute."""
    model: ModelAbout
    """What answers."""
    limits: dict[str, Any]
    """Sizes of what is sent here, at most, and which sources may be opened."""


class PolicyBody(BaseModel, use_attribute_docstrings=True):
    """A way of keeping."""

    name: str
    """As a stream names it."""
    summary: str
    """What it keeps, in a line."""
    paper: str | None
    """Where it comes from."""
    budget_rule: str
    """What its budget counts."""


@router.get("/about", dependencies=needs("read"))
def show_about(state: State) -> AboutBody:
    """Return what runs here: versions, model, device, limits."""
    model = state.service.model
    layout, card = model.layout, model.card
    device = layout.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    chosen = ("max_frame_bytes", "max_file_bytes", "max_picture_pixels", "allow_sources")
    return AboutBody(
        version=__version__,
        versions={"python": platform.python_version()}
        | {package: version(package) for package in ("torch", "transformers", "av")},
        machine=platform.platform(terse=True),
        device_name=name or platform.machine(),
        num_threads=torch.get_num_threads(),
        model=ModelAbout(
            name=card.name,
            family=card.family,
            knows=card.knows,
            device=str(device),
            dtype=str(layout.dtype).removeprefix("torch."),
            num_layers=layout.num_layers,
            default_fps=card.default_fps,
            default_budget_tokens=card.default_budget_tokens,
            tokens_per_temporal_patch=card.tokens_per_temporal_patch,
        ),
        limits={key: getattr(state.settings, key) for key in chosen},
    )


@router.get("/policies", dependencies=needs("read"))
def list_policies() -> Listing[PolicyBody]:
    """List what a memory may keep by, those of installed packages included."""
    found = []
    for name in POLICIES:
        try:
            facts = asdict(POLICIES[name]().facts)
        except PluginError:  # a broken package costs its own names alone
            continue
        shown = {key: facts[key] for key in ("summary", "paper", "budget_rule")}
        found.append(PolicyBody(name=name, **shown))
    return Listing(items=found)

"""Whether the server lives and takes work, and what it measures."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from hermes_stream.server.bodies import ERRORS
from hermes_stream.server.metrics import CONTENT_TYPE
from hermes_stream.server.state import State, needs
from hermes_stream.service import Health, ServiceCapacity

router = APIRouter(tags=["health"])

_UNHEALTHY: dict[int | str, dict[str, Any]] = {
    503: {"model": Health, "description": "Not so; the reasons are named."}
}
_TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


@router.get("/health/live", responses=_UNHEALTHY)
async def is_live(state: State, response: Response) -> Health:
    """Tell whether engine and record run: a supervisor restarts what does not live."""
    # on the event loop: threads may all wait for an engine that hangs, which is what this is to tell
    health = state.service.health()
    response.status_code = 200 if health.is_live else 503
    return health


@router.get("/health/ready", responses=_UNHEALTHY)
@router.get("/health", responses=_UNHEALTHY)
async def is_ready(state: State, response: Response) -> Health:
    """Tell whether work is taken: a balancer sends none to what is not ready."""
    health = state.service.health()
    response.status_code = 200 if health.is_ready and not state.draining.has_begun else 503
    return health


@router.get("/metrics", response_class=Response, responses={**ERRORS, **_TEXT}, dependencies=needs("read"))
def show_metrics(state: State) -> Response:
    """Return what is counted and measured, as Prometheus reads it."""
    return Response(state.metrics.text(), media_type=CONTENT_TYPE)


@router.get("/v1/capacity", responses=ERRORS, dependencies=needs("read"))
def show_capacity(state: State) -> ServiceCapacity:
    """Return how much fits, and what limits it."""
    return state.service.capacity()

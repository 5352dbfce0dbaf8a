"""The OpenAPI document, made from the routes: with the scope that each needs, and one error shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import Match
from starlette.types import Scope

from hermes_stream.server.state import Needs

_SCHEMES = {
    "key": {"type": "http", "scheme": "bearer", "description": "A key: `hermes keys create`."},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "hermes_session",
        "description": "`POST /v1/login`.",
    },
}


def describe(app: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Any]:
    """Return the OpenAPI document of an application.

    Args:
        app: with all its routes.
        routers: that it includes.
    """
    routes = [route for router in routers for route in router.routes]
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes, openapi_version="3.1.0"
    )
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    for route in routes:
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        scope = scope_of(route)
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            if scope is not None:
                operation["x-scope"] = scope
                operation["security"] = [{"key": []}, {"cookie": []}]
    document["x-websockets"] = {
        route.path: {"x-scope": scope_of(route), "summary": _first_line(route)}
        for route in routes
        if isinstance(route, APIWebSocketRoute)
    }
    return document


def scope_of(route: APIRoute | APIWebSocketRoute) -> str | None:
    """Return what the caller of a route must be allowed to do; None where everyone may."""
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, Needs):
            return dependency.call.scope
    return None


def allowed_methods(routers: Sequence[APIRouter], scope: Scope) -> list[str]:
    """Return the methods that an address takes; the framework names those of the first route alone."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    matching = (route.methods for route in routes if route.matches(scope)[0] is not Match.NONE)
    return sorted({method for methods in matching for method in methods or ()})


def _first_line(route: APIWebSocketRoute) -> str:
    return (route.endpoint.__doc__ or "").strip().partition("\n")[0]

"""The OpenAPI document, made from the routes: with the scope that each needs, and one error shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, APIWebSocketRoute

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


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an application.

    Args:
        app: with all its routes.
    """
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes, openapi_version="3.1.0"
    )
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    for route in _routes(app, APIRoute):
        scope = scope_of(route)
        for method in route.methods:
            operation = document["paths"][route.path_format][method.lower()]
            if scope is not None:
                operation["x-scope"] = scope
                operation["security"] = [{"key": []}, {"cookie": []}]
    document["x-websockets"] = {
        route.path: {"x-scope": scope_of(route), "summary": _first_line(route)}
        for route in _routes(app, APIWebSocketRoute)
    }
    return document


def scope_of(route: APIRoute | APIWebSocketRoute) -> str | None:
    """Return what the caller of a route must be allowed to do; None where everyone may."""
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, Needs):
            return dependency.call.scope
    return None


def _routes(app: FastAPI, kind: type[Any]) -> Iterator[Any]:
    yield from (route for route in app.routes if isinstance(route, kind))


def _first_line(route: APIWebSocketRoute) -> str:
    return (route.endpoint.__doc__ or "").strip().partition("\n")[0]

"""The routes, described for people and for programs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from hermes_stream.server.document_pages import as_html

router = APIRouter(include_in_schema=False)

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


@router.get("/openapi.json")
async def show_document(request: Request) -> JSONResponse:
    """Return the OpenAPI document."""
    document: dict[str, Any] = request.app.state.document
    return JSONResponse(document)


@router.get("/docs")
async def show_docs(request: Request) -> HTMLResponse:
    """Return the same as a page, which loads nothing."""
    return HTMLResponse(as_html(request.app.state.document), headers={"Content-Security-Policy": _POLICY})

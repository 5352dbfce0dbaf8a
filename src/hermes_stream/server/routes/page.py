"""The page: one document and its files, which load nothing from elsewhere."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hermes_stream.server.errors import RefusedError
from hermes_stream.server.page_files import BASE, PageFile
from hermes_stream.server.state import State

router = APIRouter(include_in_schema=False)

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Permissions-Policy": "camera=(self), display-capture=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Encoding",
}


@router.api_route("/", methods=["GET", "HEAD"])
async def show_page(request: Request, state: State) -> Response:
    """Return the page."""
    tag = f'"{state.page.version}"'
    headers = {**_HEADERS, "Cache-Control": "no-cache", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return _sent(state.page.index, request, headers)


@router.get(f"{BASE}{{version}}/{{path:path}}")
async def show_file(version: str, path: str, request: Request, state: State) -> Response:
    """Return a file of the page; its address names its version, so that it may be kept for ever."""
    file = state.page.files.get(path)
    if file is None or version != state.page.version:
        raise RefusedError(
            404, "the page has no such file in this version; load the page again", code="not_found"
        )
    return _sent(file, request, {**_HEADERS, "Cache-Control": "public, max-age=31536000, immutable"})


def _sent(file: PageFile, request: Request, headers: dict[str, str]) -> Response:
    if "gzip" in request.headers.get("accept-encoding", ""):
        packed = {**headers, "Content-Encoding": "gzip"}
        return Response(file.compressed, media_type=file.media_type, headers=packed)
    return Response(file.content, media_type=file.media_type, headers=headers)

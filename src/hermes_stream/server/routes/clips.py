"""A clip of a stream, where its source is a file or its frames are kept."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, Response
from starlette.background import BackgroundTask

from hermes_stream.server.bodies import ERRORS, Seconds, StreamName
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.state import State, needs
from hermes_stream.service.clip import MAX_CLIP_SECONDS

router = APIRouter(prefix="/v1/streams/{name}", tags=["record"], responses=ERRORS)
_MP4: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}},
        "description": "The clip; `X-From-Seconds` and `X-Until-Seconds` say where it begins and ends, and "
        "`X-Made-From` what of: the `file`, the `journal`, or `pictures`.",
    }
}


@router.get("/clip", response_class=Response, responses=_MP4, dependencies=needs("read"))
async def clip(
    name: StreamName,
    state: State,
    since: Annotated[Seconds, Query(alias="from", description="Where it begins, seconds of the stream.")],
    until: Annotated[Seconds, Query(alias="to", description="Where it ends, at most 600 s later.")],
) -> Response:
    """Return a clip: of the stream's file, from the key frame before; else of frames that are kept."""
    if not 0 < until - since <= MAX_CLIP_SECONDS:
        raise RefusedError(
            400,
            f"a clip ends behind its beginning, at most {MAX_CLIP_SECONDS:g} s later; got {since:g} to "
            f"{until:g}",
            code="invalid_value",
            param="to",
        )
    # a client that leaves may take the folder away while a thread still writes
    folder = TemporaryDirectory(prefix="hermes-clip-", ignore_cleanup_errors=True)
    target = Path(folder.name) / "clip.mp4"
    write = state.service.record.clip
    try:
        made = await state.media.do(lambda _: write(name, target, from_seconds=since, until_seconds=until))
    except BaseException:
        folder.cleanup()
        raise
    headers = {
        "Cache-Control": "no-store",
        "X-From-Seconds": f"{made.from_seconds:.6f}",
        "X-Until-Seconds": f"{made.until_seconds:.6f}",
        "X-Made-From": made.made_from,
    }
    return FileResponse(
        target,
        media_type="video/mp4",
        filename=f"{name}-{since:g}.mp4",
        headers=headers,
        background=BackgroundTask(folder.cleanup),
    )

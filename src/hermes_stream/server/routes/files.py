"""Files that are sent, to be watched by a stream or a chat completion."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from hermes_stream.server.bodies import ERRORS, Listing
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.state import ServerState, State, needs
from hermes_stream.server.uploads import shown_upload

router = APIRouter(prefix="/v1/files", tags=["files"], responses=ERRORS)

FileId = Annotated[str, Path(max_length=80, description="The file's id.", alias="file_id")]
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "maxLength": 200},
                    },
                }
            }
        },
    }
}


class FileBody(BaseModel):
    """A file, as OpenAI's clients read it."""

    id: str
    object: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: str


class DeletedFile(BaseModel):
    """That a file is gone."""

    id: str
    object: str = "file"
    deleted: bool = True


@router.post("", openapi_extra=_BODY, response_model=FileBody, dependencies=needs("ask"))
async def upload_file(request: Request, state: State) -> dict[str, Any]:
    """Send a file; it is kept for a while, under an id made from its content."""
    length = request.headers.get("content-length", "")
    try:
        with state.uploads.expecting(int(length) if length.isdigit() else None):
            await asyncio.to_thread(state.uploads.check_room)
            return await _received(request, state)
    except MultiPartException as error:
        raise RefusedError(400, f"the form cannot be read: {error.message}", code="invalid_form") from error


async def _received(request: Request, state: ServerState) -> dict[str, Any]:
    async with request.form(max_files=1, max_fields=8) as form:
        file, purpose = form.get("file"), form.get("purpose")
        if not isinstance(file, UploadFile):
            raise RefusedError(
                400, "the form has no file; send one as the part 'file'", code="no_file", param="file"
            )
        upload = await asyncio.to_thread(
            state.uploads.add,
            file.file,
            filename=file.filename or "file",
            purpose=purpose if isinstance(purpose, str) else "user_data",
        )
    return shown_upload(upload)


@router.get("", dependencies=needs("read"))
def list_files(state: State) -> Listing[FileBody]:
    """List files, newest first."""
    return Listing(items=[FileBody(**shown_upload(one)) for one in state.uploads.all()])


@router.get("/{file_id}", response_model=FileBody, dependencies=needs("read"))
def show_file(file_id: FileId, state: State) -> dict[str, Any]:
    """Return what is known of a file."""
    return shown_upload(state.uploads.get(file_id))


@router.delete("/{file_id}", dependencies=needs("ask"))
def delete_file(file_id: FileId, state: State) -> DeletedFile:
    """Delete a file."""
    state.uploads.delete(file_id)
    return DeletedFile(id=file_id)

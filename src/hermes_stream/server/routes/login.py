"""Signing in: a browser's cookie for a key, and tokens for its WebSockets."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hermes_stream.server.access.callers import COOKIE, COOKIE_SECONDS, TOKEN_SECONDS, Caller
from hermes_stream.server.access.origins import check_host, check_origin
from hermes_stream.server.bodies import ERRORS, Login, WebSocketToken, Who
from hermes_stream.server.state import Reader, ServerState, State

router = APIRouter(prefix="/v1", tags=["access"], responses=ERRORS)


@router.post("/login")
async def sign_in(body: Login, request: Request, response: Response, state: State) -> Who:
    """Sign in with a key: a cookie stands for it from now on, which no script can read."""
    check_origin(state.settings, request.headers, method="POST")
    check_host(state.settings, request.headers)
    caller, cookie = await asyncio.to_thread(state.access.sign_in, body.key)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=int(COOKIE_SECONDS),
        path="/",
        secure=state.settings.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return _who(state, caller)


@router.post("/logout", status_code=204)
async def sign_out(request: Request, response: Response, state: State) -> None:
    """Forget the cookie."""
    check_origin(state.settings, request.headers, method="POST")
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


@router.get("/whoami")
async def who_am_i(state: State, caller: Reader) -> Who:
    """Return what this key may do."""
    return _who(state, caller)


@router.post("/websocket-token")
async def make_websocket_token(state: State, caller: Reader) -> WebSocketToken:
    """Return a token that opens WebSockets for a minute, since a browser sends no key with them."""
    return WebSocketToken(token=state.access.websocket_token(caller), expires_in_seconds=TOKEN_SECONDS)


def _who(state: ServerState, caller: Caller) -> Who:
    key = caller.key
    return Who(
        needs_keys=state.settings.needs_keys,
        label=None if key is None else key.label,
        key=None if key is None else key.id,
        scopes=caller.scopes,
    )

"""What a client sends is read whole or not at all, and work for one that has left is given up."""

from __future__ import annotations

import asyncio

import pytest

from hermes_stream.cluster.incoming import ClientGoneError, Incoming

LEFT = {"type": "http.disconnect"}


def piece(body: bytes = b"", *, is_last: bool = True) -> dict[str, object]:
    return {"type": "http.request", "body": body, "more_body": not is_last}


class Client:
    """Sends messages, then stays silent; notes what was read of it."""

    def __init__(self, *messages: dict[str, object]) -> None:
        self._messages = list(messages)
        self.read: list[bytes] = []

    async def receive(self) -> dict[str, object]:
        await asyncio.sleep(0)
        return self._messages.pop(0) if self._messages else await asyncio.Future()

    def is_given_up(self, *, has_body: bool) -> bool:
        """Work for it: read the body, where it has one, and go on for a while."""
        incoming, ends = Incoming(self.receive), []

        async def work() -> None:
            try:
                self.read += [one async for one in incoming.pieces()] if has_body else []
                for _ in range(20):
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                ends.append("given up")
                raise

        async def run() -> bool:
            async with asyncio.timeout(10):
                await incoming.answered(work(), has_body=has_body)
            return bool(ends)

        return asyncio.run(run())


def test_a_body_is_read_to_its_end():
    first = [piece(one, is_last=False) for one in (b"a", b"b", b"")]
    client = Client(*first, {"type": "http.request", "body": b"c"})
    assert not client.is_given_up(has_body=True)
    assert client.read == [b"a", b"b", b"c"]


def test_a_body_that_breaks_off_is_no_body():
    client = Client(piece(b"a", is_last=False), LEFT)
    with pytest.raises(ClientGoneError):
        client.is_given_up(has_body=True)
    assert client.read == []


@pytest.mark.parametrize("has_body", [False, True])
def test_work_for_a_client_that_has_left_is_given_up(has_body):
    client = Client(piece(b"a"), LEFT)
    assert client.is_given_up(has_body=has_body)
    assert client.read == [b"a"] * has_body


def test_work_for_a_client_that_stays_is_done():
    assert not Client(piece()).is_given_up(has_body=False)

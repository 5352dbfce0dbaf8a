"""Several viewers of one stream, in asyncio: python examples/asyncio_app.py CLIP [MODEL].

Watching and asking compute, so they run in threads; ``async for`` reads an answer in one of its own. The loop
stays free for whatever else the program does. A session makes one answer at a time, and finishes one that is
open when the next question comes: a lock lets each viewer read theirs as it is made.
"""

import asyncio
import sys

from hermes_stream import FileSource, Session


async def watch(session: Session, clip: str, has_begun: asyncio.Event) -> None:
    """Observe frame after frame, as if a camera gave them."""
    for frame in FileSource(clip, fps=session.model.card.default_fps):
        await asyncio.to_thread(session.observe, frame)
        has_begun.set()


async def view(name: str, session: Session, turn: asyncio.Lock) -> None:
    """Ask what there is to see, and show the answer as it comes."""
    async with turn:
        answer = await asyncio.to_thread(session.ask, "what is on screen now?")
        pieces = [piece async for piece in answer]
    print(f"{name}: {''.join(pieces)} ({answer.ttft_seconds * 1000:.0f} ms)")


async def main(clip: str, model: str) -> None:
    """Watch and answer at once."""
    session, turn, has_begun = Session(model), asyncio.Lock(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch(session, clip, has_begun))
        await has_begun.wait()
        for name in ("kitchen", "hall", "phone"):
            tasks.create_task(view(name, session, turn))


asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "tiny"))

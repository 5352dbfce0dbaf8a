"""Writes docs/api.md from the OpenAPI document: python docs/write_api.py [--check]."""

from __future__ import annotations

import sys
from pathlib import Path

from hermes_stream.server.app import api_document
from hermes_stream.server.document_pages import as_markdown

PAGE = Path(__file__).with_name("api.md")
PREFACE = """# HTTP

A running server describes itself at `/docs`, and for programs at `/openapi.json`; this page is written from the same
document by `python docs/write_api.py`. [Who may use it](security.md) is a page of its own.

```
curl -X POST localhost:8000/v1/streams -H 'Content-Type: application/json' -d '{"name": "door"}'
curl -X POST 'localhost:8000/v1/streams/door/frames?pts_us=0' -H 'Content-Type: image/jpeg' --data-binary @a.jpg
curl -X POST localhost:8000/v1/streams/door/ask -H 'Content-Type: application/json' -d '{"question": "What is there?"}'
```

**Keys.** Where keys are asked for, send one as `Authorization: Bearer KEY`. What a key must allow is said with each
route. A browser signs in (`POST /v1/login`) and opens its WebSockets with `?token=` (`POST /v1/websocket-token`).

**Errors** have one shape, `{"error": {"type", "message", "code", "param", "accepted"}}`. 429 and 503 say in
`Retry-After` when to try again. Every response has an `X-Request-ID`, which the log of the server names, too.

**Server-sent events.** `POST .../ask` with `stream: true` sends `text` pieces, then `answer`, or `error`. `GET /v1/events`
with `Accept: text/event-stream` goes on for ever; a client that comes back with `Last-Event-ID` misses nothing and gets
nothing twice. `GET /v1/figures` and `GET /v1/streams/NAME/memory` tell how streams and a memory are, again and again.

**Frames over a WebSocket** are binary messages: 8 bytes of time in microseconds of the stream (unsigned, most significant
byte first), then a JPEG or PNG. Each is answered by a JSON text with the newest time that was taken and what was dropped,
or an error; after an error the next message may be good. Previews come in the same form.

**OpenAI's clients** work unchanged: `POST /v1/chat/completions` with a part `{"type": "video_url", "video_url": {"url":
"stream://door"}}`, a `data:` address, the id of an uploaded file, or an address in `allow_sources`; pictures as
`image_url`. Without `temperature` the likeliest tokens are taken. Earlier turns and system messages are put before the
question as text. What OpenAI has no word for is in `hermes`, of the request and of the answer. `WS /v1/realtime` speaks
the events of the Realtime API: an item with `input_image` is a frame (`hermes.pts_us` says when it was taken), one with
`input_text` a question, `response.create` asks for the answer. An item's id is given once; `session.update` changes only
what it names. `session.hermes.stream`, or `?stream=NAME`, names a stream
that is there; else the session has its own. `session.hermes.resume_token` (`?resume=TOKEN`) brings a client back to it
within two minutes, and `hermes.going_away` comes before the server ends. `session.hermes.clarify_below` lets it ask back where it
is not sure; `response.hermes` of `response.done` then says so (`clarification`, `guess`), beside confidence and evidence.
"""


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` tell whether it is as it would be written."""
    page = as_markdown(api_document(), PREFACE)
    if "--check" not in arguments:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    sys.stderr.write("docs/api.md is not as the routes are; run: python docs/write_api.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

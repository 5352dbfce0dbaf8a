"""A digest, or several, as one HTML page that needs no server, no script and nothing from elsewhere."""

from __future__ import annotations

import base64
import html
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from hermes_stream.digest.values import Chapter, Digest, DigestEvent, DigestIncident, Picture

ReadPicture = Callable[[Picture], bytes | None]

MAX_PICTURES = 200
_INCIDENT_PICTURES = 4  # besides that of its beginning
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title><style>
:root{{color-scheme:light dark;--line:#8884;--soft:#8882;--accent:#26a}}
@media(prefers-color-scheme:dark){{:root{{--accent:#7bf}}}}
body{{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;background:Canvas;
color:CanvasText}}
h1{{font-size:1.5rem}}h2{{font-size:1.2rem;margin-top:2.5rem;border-bottom:1px solid var(--line)}}
h3{{font-size:1rem;margin:1.5rem 0 .5rem}}
time{{font-variant-numeric:tabular-nums;color:var(--accent);white-space:nowrap}}
.grid{{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:1rem;list-style:none;padding:0}}
.grid li{{border:1px solid var(--line);border-radius:.5rem;overflow:hidden}}
.grid p{{margin:.5rem .75rem}}img{{display:block;width:100%;background:var(--soft)}}
table{{border-collapse:collapse;width:100%}}td,th{{text-align:left;vertical-align:top;padding:.25rem .5rem;
border-top:1px solid var(--line);overflow-wrap:anywhere}}
svg{{width:100%;height:5rem;color:var(--accent)}}.alarm,.warning{{font-weight:600}}
.facts{{opacity:.75}}p,td{{overflow-wrap:anywhere}}td img{{width:8rem}}
.row{{display:flex;flex-wrap:wrap;gap:.25rem}}
</style></head><body>
"""


class _Pictures:
    """Pictures of one page: as many as it may have, each within the page."""

    def __init__(self, read: ReadPicture) -> None:
        self._read, self._left = read, MAX_PICTURES

    def tag(self, picture: Picture | None, text: str) -> str:
        """Return the picture as HTML; nothing where there is none, or no more room."""
        if picture is None or not self._left:
            return ""
        jpeg = self._read(picture)
        if jpeg is None:
            return ""
        self._left -= 1
        encoded = base64.b64encode(jpeg).decode("ascii")
        return f'<img alt="{shown(text)}" src="data:image/jpeg;base64,{encoded}">'


def page_of(
    digests: Sequence[Digest], *, title: str, read_picture: ReadPicture, facts: str | None = None
) -> str:
    """Return digests as a page.

    Args:
        digests: one after the other.
        title: of the page.
        read_picture: returns a picture's file; None where it is gone.
        facts: a line below the title.
    """
    pictures = _Pictures(read_picture)
    parts = [_HEAD.format(title=shown(title)), f"<h1>{shown(title)}</h1>"]
    if facts:
        parts.append(f'<p class="facts">{shown(facts)}</p>')
    for digest in digests:
        parts += _digest(digest, pictures, has_heading=len(digests) > 1)
    return "\n".join([*parts, "</body></html>\n"])


def shown(text: object) -> str:
    """Return a text as HTML shows it: no markup, no control characters, none that turn the line around."""
    plain = "".join(
        one if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Co", "Cn") else "\ufffd"
        for one in str(text)
    )
    return html.escape(plain, quote=True)


def clock_of(seconds: float | None, zero_wall_seconds: float | None = None) -> str:
    """Return a moment of a stream as people read it, with its wall-clock time (UTC) where that is known."""
    if seconds is None:
        return ""
    whole = int(seconds)
    text = f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    if zero_wall_seconds is None:
        return text
    return f"{wall_of(zero_wall_seconds + seconds)} ({text})"


def wall_of(seconds: float) -> str:
    """Return a wall-clock time, UTC; the number where no calendar has it."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s"


def _digest(digest: Digest, pictures: _Pictures, *, has_heading: bool) -> Iterator[str]:
    zero = digest.zero_wall_seconds
    if has_heading:
        yield f"<h2>{shown(digest.source)}</h2>"
    span = f"{clock_of(digest.from_seconds, zero)} to {clock_of(digest.to_seconds, zero)}"
    # the title names a file; its folder is nobody's concern who is given the page
    name = "" if has_heading or digest.is_file else digest.source
    known = [name, span, digest.model or "", digest.policy or ""]
    yield f'<p class="facts">{shown(", ".join(filter(None, known)))}</p>'
    if digest.summary is not None:
        yield f"<p>{shown(digest.summary.text)}</p>"
    if digest.newness:
        yield _curve(digest)
    if digest.chapters:
        yield '<h3>Chapters</h3><ol class="grid">'
        yield from (_chapter(one, pictures, zero) for one in digest.chapters)
        yield "</ol>"
    yield from _tags(digest)
    yield from _incidents(digest, pictures)
    yield from _answers(digest, pictures)
    yield from _events(digest)
    if digest.is_cut:
        yield "<p>There was more than is told here; ask for a shorter time.</p>"


def _chapter(one: Chapter, pictures: _Pictures, zero: float | None) -> str:
    text = one.text or ""
    span = f"{clock_of(one.start_seconds, zero)} to {clock_of(one.end_seconds, zero)}"
    image = pictures.tag(one.picture, text or span)
    return f"<li>{image}<p><time>{shown(span)}</time></p><p>{shown(text)}</p></li>"


def _curve(digest: Digest) -> str:
    """Return how new the stream was as a curve, with a line where each chapter begins."""
    begin, width = digest.from_seconds, max(digest.to_seconds - digest.from_seconds, 1e-9)
    most = max(value for _, value in digest.newness[1:]) if len(digest.newness) > 1 else 1.0
    points = " ".join(
        f"{1000 * (seconds - begin) / width:.1f},{100 - 95 * min(value / max(most, 1e-9), 1):.1f}"
        for seconds, value in digest.newness
    )
    lines = "".join(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="100" stroke="currentColor" stroke-opacity=".4"/>'
        for x in (1000 * (one.start_seconds - begin) / width for one in digest.chapters)
    )
    return (
        '<svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" '
        f'aria-label="how new the stream was">{lines}<polyline points="{points}" fill="none" '
        'stroke="currentColor" stroke-width="1.5"/></svg>'
    )


def _tags(digest: Digest) -> Iterator[str]:
    if not digest.tags:
        return
    yield "<h3>Tags</h3><table>"
    for tag in digest.tags:
        spans = ", ".join(f"{clock_of(a)} to {clock_of(b)}" for a, b in tag.spans) or "never"
        yield f"<tr><th>{shown(tag.text)}</th><td><time>{shown(spans)}</time></td></tr>"
    yield "</table>"


def _incidents(digest: Digest, pictures: _Pictures) -> Iterator[str]:
    if not digest.incidents:
        return
    zero = digest.zero_wall_seconds
    yield "<h3>Incidents</h3><table>"
    for one in digest.incidents:
        until = "goes on" if one.ended_seconds is None else f"to {clock_of(one.ended_seconds)}"
        severity = one.severity if one.severity in ("info", "warning", "alarm") else "info"
        yield (
            f"<tr><td>{pictures.tag(one.picture, one.watch)}</td><td><time>"
            f'{shown(clock_of(one.started_seconds, zero))}</time> {shown(until)}</td><td class="{severity}">'
            f"{shown(one.watch)}</td><td>{shown(one.question)}{_seen(one, pictures)}</td></tr>"
        )
    yield "</table>"


def _seen(one: DigestIncident, pictures: _Pictures) -> str:
    """Return what an incident's update added: words, and some pictures of before and after."""
    words = f"<p>{shown(one.summary)}</p>" if one.summary else ""
    others = [own for own in one.pictures if own != one.picture]
    before = [own for own in others if own.stream_seconds < one.started_seconds][-_INCIDENT_PICTURES:]
    after = [own for own in others if own not in before][: _INCIDENT_PICTURES - len(before)]
    images = "".join(pictures.tag(own, clock_of(own.stream_seconds)) for own in (*before, *after))
    return words + (f'<p class="row">{images}</p>' if images else "")


def _answers(digest: Digest, pictures: _Pictures) -> Iterator[str]:
    if not digest.answers:
        return
    yield "<h3>Questions</h3><table>"
    for one in digest.answers:
        yield (
            f"<tr><td>{pictures.tag(one.picture, one.question)}</td><td><time>"
            f"{shown(clock_of(one.stream_seconds, digest.zero_wall_seconds))}</time></td>"
            f"<td>{shown(one.question)}</td><td>{shown(one.answer)}</td></tr>"
        )
    yield "</table>"


def _events(digest: Digest) -> Iterator[str]:
    if not digest.events:
        return
    yield "<h3>Events</h3><table>"
    for one in digest.events:
        when = shown(_when(one, digest.zero_wall_seconds))
        yield f"<tr><td><time>{when}</time></td><td>{shown(one.kind)}</td><td>{shown(one.text)}</td></tr>"
    yield "</table>"


def _when(event: DigestEvent, zero: float | None) -> str:
    if event.stream_seconds is not None:
        return clock_of(event.stream_seconds, zero)
    return "" if event.wall_seconds is None else wall_of(event.wall_seconds)

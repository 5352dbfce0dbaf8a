"""What the project aims at on a GPU, compared with what was measured: used by gpu.py.

An aim that cannot be judged is named with its reason: a part that was not measured, a row that was left out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

Document = Mapping[str, Any]
Measure = Callable[[], float]


class NotMeasuredError(Exception):
    """What an aim is judged by was not measured; says why."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one size.

    Attributes:
        size: its name.
        documents: of its parts by name, that of the probe among them.
        why_not: of parts that have no document.
    """

    size: str
    documents: Mapping[str, Document]
    why_not: Mapping[str, str]

    def document(self, part: str) -> Document:
        """Return what was stored of a part."""
        if part not in self.documents:
            raise NotMeasuredError(f"{part}: {self.why_not.get(part, 'not measured')}")
        return self.documents[part]

    def asked(self, part: str) -> list[int]:
        """Return the lengths that a part was asked for, from the shortest."""
        return sorted(int(one) for one in self.document(part)["frames"].split(","))

    def run(self, part: str, num_frames: int, policy: str = "hermes") -> Document:
        """Return one row of a part."""
        document, key = self.document(part), (policy, num_frames)
        for one in document["runs"]:
            if (one["policy"], one["num_frames"]) == key:
                return one
        for one in document["left_out"]:
            if (one["policy"], one["num_frames"]) == key:
                raise NotMeasuredError(f"{part}, {policy} at {num_frames} frames: {one['reason']}")
        raise NotMeasuredError(f"{part}, {policy} at {num_frames} frames: {unfinished(document)}")

    def lengths(self, part: str) -> list[Document]:
        """Return the rows of our memory that there are, from the shortest stream."""
        own = [one for one in self.document(part)["runs"] if one["policy"] == "hermes"]
        if not own:
            self.run(part, self.asked(part)[0])  # says why
        return sorted(own, key=lambda one: one["num_frames"])

    def load(self, part: str, num_streams: int) -> Document:
        """Return the row of so many streams."""
        document = self.document(part)
        for one in document["streams"]:
            if one["num_streams"] == num_streams:
                return one
        for one in document["refused"]:
            if one["num_streams"] == num_streams:
                raise NotMeasuredError(f"{num_streams} streams: {one['reason']}")
        raise NotMeasuredError(f"{num_streams} streams: {unfinished(document)}")

    def most_streams(self, part: str) -> int:
        """Return the most streams that a part was asked for or, where nothing tells, that it is named for."""
        document = self.documents.get(part, {"streams": (), "refused": ()})
        rows = [*document["streams"], *document["refused"]]
        named = 64 if part == "streams_64" else 16
        return max((one["num_streams"] for one in rows), default=named)


def unfinished(document: Document) -> str:
    """Say why a row is not in a document that does not tell."""
    return "not asked for" if document.get("is_finished", True) else "the part was ended before it"


def judge(measured: Measured) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Compare one size with what the project aims at; return what was judged, and what is missing and why."""
    judged, missing = [], []
    for name, measure, limit, at_least in aims(measured):
        try:
            judged.append(verdict(name, timed(measure()), limit, at_least=at_least))
        except NotMeasuredError as error:
            bound = {"at_least" if at_least else "at_most": limit}
            missing.append({"what": name, "why": str(error)} | bound)
    # a part may hold what another is made for
    names = {one["aim"] for one in judged}
    missing = [one for one in missing if one["what"] not in names]
    for part, document in measured.documents.items():
        rows = {f"{one['policy']} at {one['num_frames']} frames": one for one in document.get("left_out", ())}
        rows |= {f"{one['num_streams']} streams": one for one in document.get("refused", ())}
        missing += [{"what": f"{part}: {name}", "why": one["reason"]} for name, one in rows.items()]
        missing += [
            {"what": f"{part}: {name}", "why": why} for name, why in document.get("failed", {}).items()
        ]
    return judged, missing


def verdict(name: str, measured: float, limit: float, *, at_least: bool) -> dict[str, Any]:
    """Say what was aimed at, what was measured, and whether it is met."""
    met = measured >= limit if at_least else measured <= limit
    return {"aim": name, "at_least" if at_least else "at_most": limit, "measured": measured, "met": met}


def timed(number: float | None) -> float:
    """Return a number that was measured; a row of a part that was ended may lack it."""
    if number is None:
        raise NotMeasuredError("no number: the part was ended before it, or nothing was asked")
    return number


def aims(of: Measured) -> Iterator[tuple[str, Measure, float, bool]]:
    """Yield each aim's name, what measures it, its limit, and whether that is the least."""

    def arrival() -> float:
        return of.lengths("arrival")[-1]["ttft_from_arrival_seconds"]

    def over_hermes() -> float:
        return of.run("rivals", of.asked("rivals")[-1], "reprefill")["ttft_over_hermes"]

    def matrix_share() -> float:
        floor = of.document("streams")["floor"]
        per_frame = 2 * floor["decoder_parameters"] * floor["tokens_per_picture"] + floor["encode_operations"]
        return of.load("streams", 16)["fps_total"] * per_frame / floor["operations_per_second"]

    yield from length_aims(of)
    yield "GiB above the weights, pools of captured forwards included", lambda: memory(of), 0.8, False
    yield "seconds from a frame's arrival, one a chunk", arrival, 0.150, False
    yield "TTFT of reprefill at 256 frames over that of hermes", over_hermes, 10, True
    eight = partial(get, partial(of.load, "streams", 8), "compress_share")
    yield "share of ingest that compression takes, 8 streams", eight, 0.03, False
    yield "share of matrix throughput at ingest, 16 streams", matrix_share, 0.4, True
    for part in ("streams", "streams_64"):
        count = of.most_streams(part)
        row = partial(of.load, part, count)
        yield f"{count} streams at one frame a second keep up", partial(get, row, "keeps_up"), 1, True
        yield f"TTFT, 99th percentile, {count} streams", partial(get, row, "ttft_p99_seconds"), 0.250, False


def get(row: Callable[[], Document], key: str) -> float:
    """Return one number of a row."""
    return row()[key]


def length_aims(of: Measured) -> Iterator[tuple[str, Measure, float, bool]]:
    """Yield what is aimed at for one stream, whose length is to change nothing."""

    def middle() -> Document:
        lengths = of.asked("length")
        return of.run("length", 256 if 256 in lengths else lengths[1])

    def longest() -> Document:
        rows = of.lengths("length")
        if len(rows) < 2:
            raise NotMeasuredError(f"length: one of {len(of.asked('length'))} lengths was measured")
        return rows[-1]

    def flat() -> float:
        return timed(longest()["ttft_seconds"]) / timed(of.lengths("length")[0]["ttft_seconds"])

    def over_roofline(key: str) -> float:
        return timed(middle()[key]) / middle()[f"floor_{key}"]

    def growth() -> float:
        return timed(longest()["peak_bytes"]) - timed(middle()["peak_bytes"])

    def share() -> float:
        stages = longest()["ingest_seconds_per_frame"]
        return stages["compress"] / sum(seconds or 0 for seconds in stages.values())

    yield "TTFT at the longest stream over the shortest", flat, 1.05, False
    yield "TTFT over its roofline", partial(over_roofline, "ttft_seconds"), 2, False
    yield "time per token over its roofline", partial(over_roofline, "seconds_per_token"), 1.5, False
    yield "bytes more at the longest than at 256", growth, 0, False
    yield "share of ingest that compression takes, one stream", share, 0.06, False


def memory(of: Measured) -> float:
    """Return what the probe found of a stream alone: in other parts the pools are those of many streams."""
    try:
        document = of.document("probe")
        if "one_stream" not in (own := document["sizes"].get(of.size, {})):
            raise NotMeasuredError(f"probe: {document['failed'].get(of.size, 'ended before it')}")
        return own["one_stream"]["peak_with_pools_gib"]
    except NotMeasuredError as error:
        try:
            without = timed(of.lengths("length")[-1]["peak_bytes"]) / 2**30
        except NotMeasuredError:
            raise error from None
        raise NotMeasuredError(
            f"{error}; {without:.3f} GiB without captured forwards, by the part length"
        ) from None

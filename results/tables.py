"""Write the tables of docs/performance.md from the stored documents: python results/tables.py [--check].

A table stands between ``<!-- NAME PART -->`` and ``<!-- end -->``: NAME is a document in this folder, PART
says what of it is shown. With ``--check`` nothing is written, and the exit code says whether anything would
change.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "docs" / "performance.md"
_BLOCK = re.compile(r"(<!-- ([\w.-]+) ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

Document = dict[str, Any]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(score: Document, value: str = "accuracy") -> str:
    """Write an accuracy with its interval, where there are stories enough for one."""
    if score["low"] is None:
        return f"{100 * score[value]:.1f}"
    return f"{100 * score[value]:.1f} ({100 * score['low']:.0f} to {100 * score['high']:.0f})"


def points(estimate: Document | None) -> str:
    """Write a difference with its interval; it is bold where the interval leaves out zero."""
    if estimate is None:
        return ""
    low, high = estimate["low"], estimate["high"]
    if low is None:
        return f"{100 * estimate['value']:+.1f}"
    text = f"{100 * estimate['value']:+.1f} ({100 * low:+.0f} to {100 * high:+.0f})"
    return f"**{text}**" if low > 0 or high < 0 else text


def ours(runs: Sequence[Document]) -> list[Document]:
    """Return the runs of our own memory: of the default, or of the paper's where that alone was measured."""
    policies = {run["policy"] for run in runs}
    name = "hermes" if "hermes" in policies else "hermes_paper"
    return [run for run in runs if run["policy"] == name]


def runs(document: Document) -> str:
    """Show each stream, the floor beside each figure; a dot where a run was ended before it."""
    head = ["policy", "frames", "TTFT ms", "over hermes", "on arrival ms", "ms a token", "frames a second"]
    head += ["buffers MB", "peak MB", "host MB"]
    rows = [
        [
            f"`{run['policy']}`",
            f"{run['num_frames']:,}{' *' * run['beyond_positions']}",
            _beside(run["ttft_seconds"], run["floor_ttft_seconds"]),
            "" if run["ttft_over_hermes"] is None else f"{run['ttft_over_hermes']:.3g}",
            _beside(run["ttft_from_arrival_seconds"], run["floor_ttft_from_arrival_seconds"]),
            _beside(run["seconds_per_token"], run["floor_seconds_per_token"]),
            f"{run['ingest_fps']:,.3g}"
            + (f" / {run['ceiling_ingest_fps']:,.3g}" if run["ceiling_ingest_fps"] else ""),
            *(_megabytes(run[key]) for key in ("cache_bytes", "peak_bytes", "host_bytes")),
        ]
        for run in document["runs"]
    ]
    left_out = [
        f"`{one['policy']}` at {one['num_frames']:,} frames: {one['reason']}." for one in document["left_out"]
    ]
    return "\n\n".join([table(head, rows), *(["Left out: " + " ".join(left_out)] if left_out else [])])


def flat(document: Document) -> str:
    """Show time to first token and bytes against the length, over those at 64 frames."""
    own = ours(document["runs"])
    rows = [
        ["TTFT, 64 frames = 1", *(f"{run['ttft_over_64_frames']:.3f}" for run in own)],
        ["bytes of the buffers", *(f"{run['cache_bytes']:,}" for run in own)],
        ["most bytes above the weights", *(f"{run['peak_bytes']:,}" for run in own)],
    ]
    return table(["frames", *(f"{run['num_frames']:,}" for run in own)], rows)


def stages(document: Document) -> str:
    """Show where the time of a frame goes, at the longest stream of each memory."""
    longest = {run["policy"]: run for run in document["runs"] if run["ceiling_ingest_fps"]}
    names = list(next(iter(longest.values()))["ingest_seconds_per_frame"])
    rows = []
    for policy, run in longest.items():
        seconds = {name: own or 0.0 for name, own in run["ingest_seconds_per_frame"].items()}
        total = 1 / run["ingest_fps"]
        rows.append(
            [f"`{policy}`", f"{run['num_frames']:,}", *(f"{seconds[name] / total:.0%}" for name in names)]
        )
    return table(["policy", "frames", *names], rows)


def streams(document: Document) -> str:
    """Show what many streams at once do."""
    head = [
        "streams",
        "frames a second",
        "each",
        "TTFT ms",
        "99 %",
        "questions",
        "compressing",
        "idle",
        "keeps up",
        "MB each",
    ]
    rows = [
        [
            str(row["num_streams"]),
            f"{row['fps_total']:.1f}",
            f"{row['fps_per_stream']:.2f}",
            f"{1000 * row['ttft_median_seconds']:.0f}",
            f"{1000 * row['ttft_p99_seconds']:.0f}",
            str(row["num_questions"]),
            f"{row['compress_share']:.0%}",
            f"{row['idle_share']:.0%}",
            "yes" if row["keeps_up"] else "no",
            f"{row['bytes_per_stream'] / 1e6:.1f}",
        ]
        for row in document["streams"]
    ]
    return table(head, rows)


def lighter(document: Document) -> str:
    """Show what each way of keeping or looking less scores, and what it saves."""
    rows = []
    for run in document["runs"]:
        groups = run["accuracy_by_group"]
        scores = [groups[name]["accuracy"] for name in ("now", "backward", "counting")]
        still = f"{run['num_still_frames'] / run['num_frames']:.0%}"
        low, high = run["low"], run["high"]
        right = f"{100 * run['accuracy']:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        names = [run["model"], f"`{run['policy']}`", run["way"]]
        rows.append(
            [*names, right, *(f"{100 * one:.1f}" for one in scores), f"{run['cache_bytes'] / 1e6:.2f}", still]
        )
    head = [
        "checkpoint",
        "policy",
        "way",
        "right, %",
        "now",
        "backward",
        "counting",
        "buffers MB",
        "not looked at",
    ]
    return table(head, rows)


def where(document: Document) -> str:
    """Say where, with what, and how a document was made."""
    versions = ", ".join(f"{name} {own}" for name, own in document["versions"].items() if own)
    floor, place = document["floor"], document["machine"]
    rate, throughput = floor["memory_bytes_per_second"] / 1e9, floor["operations_per_second"] / 1e12
    return (
        f"{place['processor']} ({place['device']}), load average {place['load_average']}, {versions}; "
        f"measured {rate:.1f} GB/s, {throughput:.2f} TFLOP/s; `{document['command']}`"
    )


def ttft(document: Document) -> str:
    """Show how long a question waits beside our memory, against the length of the stream."""
    runs_of = {run["policy"]: {} for run in document["runs"]}
    for run in document["runs"]:
        runs_of[run["policy"]][run["num_frames"]] = run["ttft_over_hermes"]
    (reference,) = {run["policy"] for run in ours(document["runs"])}
    lengths = sorted(runs_of[reference])
    rows = [
        [f"`{policy}`", *(f"{own[length]:.3g}" if length in own else "left out" for length in lengths)]
        for policy, own in runs_of.items()
    ]
    return table(
        [f"time to first token, `{reference}` = 1, at frames", *(f"{one:,}" for one in lengths)], rows
    )


def counts(document: Document) -> str:
    """Write what a chunk and a token launch."""
    head = ["model", "policy", "frames a chunk", "kernels a chunk", "compressing", "MB", "waits", "a token"]
    rows = [
        [
            f"`{model}`",
            f"`{run['policy']}`",
            str(run["chunk_frames"]),
            f"{run['kernels_per_chunk']:,}",
            str(run["kernels_by_stage"]["compress"]),
            f"{run['bytes_per_chunk'] / 1e6:.0f}",
            str(run["syncs_per_chunk"]),
            str(run["launches_per_token"]),
        ]
        for model, own in document["models"].items()
        for run in own
    ]
    return table(head, rows)


def like_7b(document: Document) -> str:
    """Write what a compression takes with the layers and key-value heads of 7B."""
    head = ["policy", "launches", "GB moved", "ms by price", "share of a chunk", "waits of a chunk"]
    rows = [
        [
            f"`{run['policy']}`",
            f"{run['compress_launches']:,}",
            f"{run['compress_bytes'] / 1e9:.1f}",
            f"{run['compress_seconds'] * 1e3:.1f}",
            f"{run['compress_share']:.1%}",
            str(run["syncs_per_chunk"]),
        ]
        for run in document["like_7b"]
    ]
    return table(head, rows)


def reckoned(document: Document) -> str:
    """Write what a stream of the true shapes of 7B takes above the weights, by reckoning."""
    head = ["model", "a picture's tokens", "policy", "buffers"]
    head += ["16 pictures looked at", "a chunk, compressed", "a question", "most, GiB"]
    rows = []
    for run in document["like_7b"]:
        held = run["between_chunks_bytes"]
        added = [run["encode_bytes"], run["chunk_bytes"] - held, run["question_bytes"] - held]
        megabytes = [f"{one / 1e6:.0f} MB" for one in (run["buffers_bytes"], *added)]
        shown = [f"`{run['model']}`", str(run["picture_tokens"]), f"`{run['policy']}`"]
        rows.append([*shown, *megabytes, f"{run['above_weights_bytes'] / 2**30:.3f}"])
    return table(head, rows)


def prepared(document: Document) -> str:
    """Write what preparing a chunk's pictures takes, by reckoning, and what it took before."""
    before = json.loads((FOLDER / "reckoned_preparing_before.json").read_text(encoding="utf-8"))
    head = [
        "model",
        "16 pictures of",
        "left of them",
        "most, before",
        "most",
        "operations, before",
        "operations",
    ]
    rows = []
    for was, run in zip(before["like_7b"], document["like_7b"], strict=True):
        shape = f"{run['picture_columns']} x {run['picture_rows']}"
        numbers = [run["pixels_bytes"], was["prepare_bytes"], run["prepare_bytes"]]
        launches = [f"{one['num_kernels']:,}" for one in (was, run)]
        rows.append([f"`{run['model']}`", shape, *(f"{one / 1e6:.0f} MB" for one in numbers), *launches])
    return table(head, rows)


def forgetting(document: Document) -> str:
    """Write what a chunk takes with each policy over what it takes with ``window``."""
    head = ["model", "policy", "frames a chunk", "ms a chunk", "over `window`", "quartiles"]
    rows = [
        [
            f"`{run['model']}`",
            f"`{run['policy']}`",
            str(run["chunk_frames"]),
            f"{run['chunk_seconds'] * 1e3:.1f}",
            f"{run['over_window']:.2f}",
            " to ".join(f"{one:.2f}" for one in run["over_window_quartiles"]),
        ]
        for run in document["runs"]
    ]
    return table(head, rows)


def put_off(document: Document) -> str:
    """Write what questions gain where a compression waits for them, and what it does to their answers."""
    head = ["policy", "to the first token, ms", "put off, ms", "ratio", "right", "put off", "gained, points"]
    rows = []
    for run in document["runs"]:
        low, high = (100 * one for one in run["accuracy_gained_interval"])
        seconds, right = run["first_token_seconds"], run["accuracy"]
        rows.append(
            [
                f"`{run['policy']}`",
                *(f"{seconds[way] * 1e3:.1f}" for way in ("at once", "put off")),
                f"{run['first_token_ratio']:.2f}",
                *(f"{right[way]:.1%}" for way in ("at once", "put off")),
                f"{100 * run['accuracy_gained']:+.1f} ({low:+.1f} to {high:+.1f})",
            ]
        )
    return table(head, rows)


def beside_released(document: Document) -> str:
    """Write what a chunk and a question take, over what they take with the released code."""
    head = ["vocabulary", "memory", "a chunk, s", "ratio", "without encoding", "forgetting", "a question, s"]
    head += ["ratio", "tokens shared, first", "last"]
    rows = []
    for measured in document["measured"]:
        for run in measured["runs"]:
            over = [
                _with_quartiles(run[f"{part}_over_released"], run[f"{part}_quartiles"])
                for part in ("seconds", "rest_seconds", "compress_seconds", "question_seconds")
            ]
            is_theirs = run["policy"] == "released"
            shares = (
                ["", ""] if is_theirs else [_mean_share(run[key]) for key in ("shared_first", "shared_last")]
            )
            name = f"`{run['policy']}`" if run["policy"].startswith("hermes") else run["policy"]
            chunk, question = f"{run['seconds']:.2f}", f"{run['question_seconds']:.3f}"
            ratios = ["1"] * 4 if is_theirs else over
            row = [f"{measured['vocabulary']:,}", name, chunk, *ratios[:3], question, ratios[3], *shares]
            rows.append(row)
    return table(head, rows)


def _with_quartiles(value: float, quartiles: Sequence[float]) -> str:
    return f"{value:.2f} ({quartiles[0]:.2f} to {quartiles[1]:.2f})"


def _mean_share(of_layer: Sequence[float]) -> str:
    return f"{100 * sum(of_layer) / len(of_layer):.1f}%"


def together(document: Document) -> str:
    """Write what a token of every stream's answer takes, with buffers apart and in one block."""
    head = ["streams", "launches, apart", "in one block", "ms, apart", "in one block", "ratio"]
    rows = [
        [
            str(run["num_streams"]),
            *(f"{run['launches'][name]:,}" for name in ("apart", "together")),
            *(f"{run['seconds'][name] * 1e3:.1f}" for name in ("apart", "together")),
            _with_quartiles(run["together_over_apart"], run["quartiles"]),
        ]
        for run in document["runs"]
    ]
    return table(head, rows)


def chunk_parts(document: Document) -> str:
    """Write where a GPU's time for a chunk goes, in milliseconds."""
    own = document["chunk_parts"]
    head = ["", *(f"`{one['model']}`, `{one['commit']}`" for one in own)]
    rows = [[name, *(f"{one['ms'][name]:.1f}" for one in own)] for name in own[0]["ms"]]
    rows.append(["**all**", *(f"{sum(one['ms'].values()):.1f}" for one in own)])
    return table(head, rows)


def tower_parts(document: Document) -> str:
    """Write where the time of Qwen's tower goes."""
    rows = [[name, f"{ms:.1f}"] for name, ms in document["qwen_tower_ms"].items()]
    return table(["of the tower's time", "ms"], rows)


def looks(document: Document) -> str:
    """Write what was timed on a GPU, look by look; a dot where nothing was."""
    head = ["", *(f"`{look['commit']}`" for look in document["looks"])]
    rows = []
    for size in ("llava-onevision-7b", "qwen2.5-vl-7b"):
        own = [look.get(size, {}) for look in document["looks"]]
        for title, value in _LOOKS.items():
            cells = [value(found) for found in own]
            if any(cell is not None for cell in cells):
                rows.append([f"`{size}`: {title}", *("." if cell is None else f"{cell:g}" for cell in cells)])
    return table(head, rows)


def _of_eight(per_block: int, name: str) -> Callable[[Document], float | None]:
    def value(found: Document) -> float | None:
        rows = found.get("eight_streams", ())
        return next((row.get(name) for row in rows if row["streams_per_block"] == per_block), None)

    return value


def _token_ms(found: Document) -> float | None:
    if "answer_of_16_ms" in found and "ttft_ms" in found:
        return round((found["answer_of_16_ms"] - found["ttft_ms"]) / 15, 2)
    return found.get("token_ms")


_LOOKS: dict[str, Callable[[Document], float | None]] = {
    "a chunk of 16 pictures, ms": lambda found: found.get("chunk_ms", {}).get("hermes"),
    "the same with `window`": lambda found: found.get("chunk_ms", {}).get("window"),
    "the GPU is busy for": lambda found: found.get("chunk_busy_ms"),
    "kernels of it": lambda found: found.get("chunk_kernels"),
    "first token, ms": lambda found: found.get("ttft_ms"),
    "the GPU is busy for it": lambda found: found.get("ask_busy_ms"),
    "its kernels": lambda found: found.get("ask_kernels"),
    "each token after it, ms": _token_ms,
    "first token from a frame's arrival, ms": lambda found: found.get("arrival_ms"),
    "GiB of one stream": lambda found: found.get("held_gib"),
    "GiB, a chunk and a question on their way": lambda found: found.get("peak_gib"),
    "one answer of 16 tokens, eight streams, ms": _of_eight(1, "answers_of_1_ms"),
    "three at once": _of_eight(1, "answers_of_3_ms"),
    "eight at once": _of_eight(1, "answers_of_8_ms"),
    "three at once, in one block": _of_eight(8, "answers_of_3_ms"),
    "eight at once, in one block": _of_eight(8, "answers_of_8_ms"),
    "a chunk of 16 of all eight, ms": _of_eight(1, "chunks_ms"),
}


def gpu_reading(document: Document) -> str:
    """Write how long tokens take to read one layer of a stream, in several ways."""
    ways = {
        "each for itself, µs": "per_token",
        "as a whole": "per_text",
        "all slots under a mask": "masked",
        "as a whole, in 8 parts": "in_8_parts",
        "in 16 parts": "in_16_parts",
    }
    found = [row["microseconds"] for row in document["reading"]]
    rows = [
        [str(row["tokens"]), *(f"{own[way]:.0f}" if way in own else "." for way in ways.values())]
        for row, own in zip(document["reading"], found, strict=True)
    ]
    return table(["tokens", *ways], rows)


def gpu_token(document: Document) -> str:
    """Write where the time of one token of an answer goes."""
    return table(
        ["of a token's time", "ms"], [[name, f"{ms:.2f}"] for name, ms in document["token_ms"].items()]
    )


def _bound(own: Document) -> str:
    sides = {"at most": "at_most", "at least": "at_least"}
    return "".join(f"{words} {own[key]:g}" for words, key in sides.items() if key in own)


def gpu_aims(document: Document) -> str:
    """Write what was aimed at on a GPU, and what was measured."""
    rows = []
    for size, aims in document["sizes"].items():
        for own in aims:
            verdict = "met" if own["met"] else "missed"
            rows.append([f"`{size}`: {own['aim']}", _bound(own), f"{own['measured']:.4g}", verdict])
        for own in document["missing"][size]:
            rows.append([f"`{size}`: {own['what']}", _bound(own), own["why"], "not measured"])
    return table(["aim", "bound", "measured", ""], rows)


PARTS: dict[str, Callable[[Document], str]] = {
    "looks": looks,
    "chunk_parts": chunk_parts,
    "tower_parts": tower_parts,
    "gpu_reading": gpu_reading,
    "gpu_token": gpu_token,
    "gpu_aims": gpu_aims,
    "beside_released": beside_released,
    "together": together,
    "put_off": put_off,
    "counts": counts,
    "like_7b": like_7b,
    "reckoned": reckoned,
    "prepared": prepared,
    "forgetting": forgetting,
    "runs": runs,
    "flat": flat,
    "stages": stages,
    "streams": streams,
    "where": where,
    "lighter": lighter,
    "ttft": ttft,
}


def _beside(seconds: float | None, floor: float) -> str:
    return "." if seconds is None else f"{1000 * seconds:.3g} / {1000 * floor:.2g}"


def _megabytes(num_bytes: float | None) -> str:
    return "." if num_bytes is None else f"{num_bytes / 1e6:,.1f}"


def part(name: str, of: str) -> str:
    """Write one part of a stored document."""
    path = FOLDER / f"{name}.json"
    return PARTS[of](json.loads(path.read_text(encoding="utf-8"))) if path.exists() else "Not measured yet."


def filled(page: str, write: Callable[[str, str], str] = part) -> str:
    """Return a page with all its tables written anew.

    Args:
        page: the text.
        write: makes what stands between ``<!-- NAME PART -->`` and ``<!-- end -->``.
    """
    return _BLOCK.sub(lambda found: f"{found[1]}{write(found[2], found[3])}\n{found[5]}", page)


def write_page(path: Path, fill: Callable[[str], str], about: str) -> None:
    """Rewrite a page, or check it; what a script does that is run from the command line."""
    write_pages({path: fill}, about)


def write_pages(pages: Mapping[Path, Callable[[str], str]], about: str) -> None:
    """Rewrite pages, or check them.

    Args:
        pages: what fills each.
        about: what the script says of itself.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    stale = []
    for path, fill in pages.items():
        page = path.read_text(encoding="utf-8")
        if arguments.check and fill(page) != page:
            stale.append(path.name)
        elif not arguments.check:
            path.write_text(fill(page), encoding="utf-8")
    sys.exit(f"not what its script writes: {', '.join(stale)}" if stale else 0)


if __name__ == "__main__":
    write_page(PAGE, filled, __doc__)

"""Small annotation and response files of every form, all sound: what the stress damages."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

_FOUR = ["A. red", "B. blue", "C. green", "D. black"]
_PLAIN = ["red", "blue", "green"]
_NUM = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A file of annotations, and perhaps one of responses to it.

    Attributes:
        name: of the form.
        file: its name; the suffix tells how it is stored.
        document: the annotations, as JSON has them.
        beside: other files of its folder.
        responses: name and content of a file of responses; None for none.
    """

    name: str
    file: str
    document: Any
    beside: tuple[tuple[str, Any], ...] = ()
    responses: tuple[str, Any] | None = None


def sound_files() -> list[Sound]:
    """Return one or more files of every form that is read."""
    return [*_unified(), *_ovo(), *_streamingbench(), *_tables(), *_others()]


def encoded(file: str, document: Any) -> bytes:
    """Write a document as its suffix tells: JSON, JSON lines or CSV; brackets where it is too deep."""
    try:
        return _encoded(file, document)
    except RecursionError:
        return b"[" * 3000 + b"]" * 3000


def _encoded(file: str, document: Any) -> bytes:
    if file.endswith(".jsonl") and isinstance(document, list):
        return "".join(json.dumps(one) + "\n" for one in document).encode()
    if file.endswith(".csv") and isinstance(document, list):
        rows = [one for one in document if isinstance(one, dict)]
        out = io.StringIO(newline="")
        names = list(dict.fromkeys(str(name) for row in rows for name in row))
        writer = csv.DictWriter(out, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue().encode("utf-8", "replace")
    return json.dumps(document, indent=1).encode()


def _lines(names: list[str], answer: str) -> list[dict[str, Any]]:
    return [{"question_id": name, "response": answer, "at_seconds": 4.0} for name in names]


def _unified() -> list[Sound]:
    def conversation(k: int, **more: Any) -> dict[str, Any]:
        return {"question": f"which {k}?", "answer": "blue", "end_time": 3.5 * k, "question_type": "t"} | more

    choices = [
        {
            "video_id": str(k),
            "video_path": f"/data/a/{k}.mp4",
            "duration": 60,
            "conversations": [
                conversation(n, choices=_PLAIN, temporal_windows=[[0, 2.5]], question_id=f"{k}/{n}")
                for n in range(_NUM)
            ],
        }
        for k in range(_NUM)
    ]
    names = [f"{k}/{n}" for k in range(_NUM) for n in range(_NUM)]
    opened = [{"video_path": "m.npy", "fps": 1, "clip": [3, 9], "conversations": [conversation(1)]}] * _NUM
    return [
        Sound(name="unified", file="a.json", document=choices),
        Sound(name="unified open", file="a.jsonl", document=opened),
        Sound(
            name="unified answered",
            file="a.json",
            document=choices,
            responses=("p.jsonl", _lines(names, "B. blue")),
        ),
        Sound(
            name="unified run",
            file="a.json",
            document=choices,
            responses=("p.jsonl", [one | {"option_index": 1} for one in _lines(names, "B")]),
        ),
    ]


def _ovo() -> list[Sound]:
    choice = {"task": "EPM", "video": "v.mp4", "realtime": 9, "question": "?", "options": _PLAIN, "gt": 1}
    probes: dict[str, dict[str, Any]] = {
        "REC": {"activity": "jump", "test_info": [{"realtime": 3, "count": 2}]},
        "SSR": {"tutorial": "Tea", "test_info": [{"realtime": 3.5, "step": "boil", "type": 1}]},
        "CRR": {"question": "?", "answer": "x", "test_info": [{"realtime": 4, "type": 0}]},
    }
    items: list[dict[str, Any]] = [{"id": k, **choice, "answer": "blue"} for k in range(_NUM)]
    forward: list[dict[str, Any]] = [
        {"id": 10 + k, "task": task, "video": "v.mp4"} | own for k, (task, own) in enumerate(probes.items())
    ]
    answered = {
        "backward": [{"id": one["id"], "task": "EPM", "question": "?", "response": ["B"]} for one in items],
        "realtime": [],
        "forward": [
            one | {"test_info": [probe | {"response": "2"} for probe in one["test_info"]]} for one in forward
        ],
    }
    return [
        Sound(name="ovo", file="ovo.json", document=[*items, *forward]),
        Sound(name="ovo split", file="ovo.json", document={"backward": items, "forward": forward}),
        Sound(
            name="ovo answered", file="ovo.json", document=[*items, *forward], responses=("r.json", answered)
        ),
    ]


def _streamingbench() -> list[Sound]:
    def clips(**more: Any) -> list[dict[str, Any]]:
        asked = {"task_type": "Counting", "question": "?", "time_stamp": "00:01:05"} | more
        return [
            {"time": "[0:00:00 - 0:02:00]", "questions": [asked, asked | {"time_stamp": 7}]}
            | {"video_path": f"./videos/sample_{k}_real.mp4"}
            for k in range(_NUM)
        ]

    due = {"ground_truth_time_stamp": "00:01:09", "ground_truth_output": "OPEN"}
    turns = [{"role": role, "content": "OPEN", "time": 70, "cost": 0.1} for role in ("user", "assistant")]
    said = {"VL": {"answer": "OPEN", "dialog_history": turns}}
    plain, chosen = clips(answer="B", options=_FOUR), clips(answer="B", options=_FOUR, VL="B. blue")
    return [
        Sound(name="streamingbench", file="s.json", document=plain),
        Sound(
            name="streamingbench lists", file="s.json", document=[plain, clips(answer="A", options=_PLAIN)]
        ),
        Sound(name="streamingbench proactive", file="s.json", document=clips(**due)),
        Sound(name="streamingbench answered", file="s.json", document=plain, responses=("r.json", chosen)),
        Sound(
            name="streamingbench proactive answered",
            file="s.json",
            document=clips(**due),
            responses=("r.json", clips(**due, **said)),
        ),
    ]


def _tables() -> list[Sound]:
    rows = [
        {"question_id": f"Real_sample_{k}_1", "task_type": "Counting", "question": "?"}
        | {"time_stamp": "00:01:05", "answer": "B", "options": str(_FOUR)}
        for k in range(_NUM)
    ]
    long = [
        {"videoID": f"v{k}", "question_id": f"{k}-1", "task_type": "t", "question": "?", "duration": "long"}
        | {"options": _FOUR, "answer": "C"}
        for k in range(_NUM)
    ]
    return [
        Sound(name="streamingbench table", file="t.csv", document=rows),
        Sound(name="videomme", file="m.jsonl", document=long),
        Sound(name="videomme table", file="m.csv", document=[one | {"options": str(_FOUR)} for one in long]),
    ]


def _others() -> list[Sound]:
    oasis = [
        {
            "info": {"video_path": f"{k}.mp4", "dataset": "OVO-Bench"},
            "breakpoint": [
                {"question": "?", "options": _FOUR, "gt": "B", "answer": "blue", "time": 12.5, "id": 9},
                {"question": "?", "answer": "because", "time": 99999, "task": "why"},
            ],
        }
        for k in range(_NUM)
    ]
    ego = [
        {"q_uid": f"u{k}", "question": "?"} | {f"option {n}": f"text {n}" for n in range(5)}
        for k in range(_NUM)
    ]
    hub = [
        {"question_idx": str(k), "question": "?", "video_idx": "x", "option": _FOUR, "answer": "2"}
        for k in range(_NUM)
    ]
    bounded = [
        {"video": f"{k}.mp4", "question": "?", "candidates": _PLAIN, "answer": "red", "start": 1.5, "end": 7}
        for k in range(_NUM)
    ]
    opened = [{"video": "o.mp4", "question": "?", "answer": "He falls.", "question_type": "subPlot"}]
    stream = [
        {"video_id": "e", "question": "?", "answer": "Onions.", "start_time": 0, "end_time": "00:02:00"}
    ] * _NUM
    return [
        Sound(name="oasis", file="o.json", document=oasis),
        Sound(
            name="egoschema",
            file="questions.json",
            document=ego,
            beside=(("subset_answers.json", {"u1": 4}),),
        ),
        Sound(name="egoschema hub", file="h.json", document=hub),
        Sound(name="mvbench", file="episodic_reasoning.json", document=bounded),
        Sound(name="mlvu folder", file="1_plotQA.json", document=bounded, beside=(("8_open.json", opened),)),
        Sound(name="vstream", file="v.json", document=stream),
    ]

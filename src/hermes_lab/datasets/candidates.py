"""MVBench and MLVU: lists of questions with ``candidates``, one file for each task.

A question is asked at the end of its video, or of the part between ``start`` and ``end``. A video
that is named without its folder gets the one in which MVBench has the videos of that task.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from hermes_lab.datasets.annotated_entries import Found, Keys, find, read_question
from hermes_lab.datasets.records import Record, records_of

KEYS = ("video", "candidates")
_TVQA, _TVQA_FPS = "tvqa/frames_fps3_hq", 3.0
FOLDERS: dict[str, str] = {
    "action_sequence": "star/Charades_v1_480",
    "action_prediction": "star/Charades_v1_480",
    "object_interaction": "star/Charades_v1_480",
    "action_localization": "sta/sta_video",
    "episodic_reasoning": _TVQA,
    "action_antonym": "ssv2_video",
    "fine_grained_action": "Moments_in_Time_Raw/videos",
    "unexpected_action": "FunQA_test/test",
    "object_existence": "clevrer/video_validation",
    "moving_direction": "clevrer/video_validation",
    "moving_count": "clevrer/video_validation",
    "moving_attribute": "clevrer/video_validation",
    "counterfactual_inference": "clevrer/video_validation",
    "object_shuffle": "perception/videos",
    "action_count": "perception/videos",
    "state_change": "perception/videos",
    "character_order": "perception/videos",
    "scene_transition": "scene_qa/video",
    "fine_grained_pose": "nturgbd",
    "egocentric_navigation": "vlnqa",
}
"""Where MVBench has the videos of each of its tasks."""

_READ = Keys(options="candidates", kinds=("question_type", "task_type", "task"))


def reads(keys: set[str]) -> bool:
    """Say whether these are the keys of one of its entries."""
    return keys.issuperset(KEYS)


def read(document: list[Any]) -> Iterator[Found]:
    """Yield the questions of a document."""
    for record in records_of(document):

        def read_one(odd: list[str], record: Record = record) -> Found:
            return _found(record, odd)

        yield find(read_one)


def _found(record: Record, odd: list[str]) -> Found:
    question = read_question(record, odd, kind="question", asked_seconds=math.inf, keys=_READ)
    kind = question if isinstance(question, str) else question.kind
    name = record.text("video")
    folder = FOLDERS.get(kind)
    return Found(
        video=f"{folder}/{name}" if folder and "/" not in name else name,
        question=question,
        duration_seconds=record.seconds_if_any("duration"),
        clip=record.span("start", "end"),
        pictures_fps=record.rate_if_any("fps") or (_TVQA_FPS if folder == _TVQA else None),
    )

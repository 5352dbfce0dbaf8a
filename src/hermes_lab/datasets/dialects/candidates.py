"""MVBench and MLVU: lists of questions with ``candidates``, one file for each task.

MLVU's open tasks have no candidates. A question is asked at the end of its video, or of the part between
``start`` and ``end``. A video that is named without its folder gets the one in which MVBench has the videos
of that task.
"""

from __future__ import annotations

from typing import Any

from hermes_lab.datasets.annotated_questions import AnnotatedQuestion, Dialect, Keys, read_question
from hermes_lab.datasets.entry import Entry
from hermes_lab.datasets.files import Document

_TVQA, _TVQA_FPS = "tvqa/frames_fps3_hq", 3.0
VIDEO_FOLDERS: dict[str, str] = {
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

_KEYS = Keys(options="candidates", kinds=("question_type", "task_type", "task"))


def _read(entry: Entry, _: Entry, oddities: list[str]) -> AnnotatedQuestion:
    question = read_question(entry, oddities, keys=_KEYS)
    folder = VIDEO_FOLDERS.get(entry.text(*_KEYS.kinds, default=""))
    name = entry.text("video")
    return AnnotatedQuestion(
        video=f"{folder}/{name}" if folder and "/" not in name else name,
        question=question,
        duration_seconds=entry.seconds_if_any("duration"),
        clip=entry.span("start", "end"),
        pictures_fps=entry.rate_if_any("fps") or (_TVQA_FPS if folder == _TVQA else None),
    )


def _complete(document: Document) -> list[Any]:
    """Give entries their task, which is the file's name."""
    task = document.path.stem
    return [{"task": task, **entry} if isinstance(entry, dict) else entry for entry in document.entries]


DIALECT = Dialect(
    signatures=(("video", "candidates"), ("video", "question", "answer", "question_type")),
    read=_read,
    complete=_complete,
)

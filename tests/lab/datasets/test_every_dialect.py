"""Made-up files in the shape of every official one, with the variants of keys that are known."""

from __future__ import annotations

import csv
import json
import math

import pytest

from hermes_lab.datasets import DIALECTS, read_annotations
from hermes_lab.datasets.dialects.candidates import VIDEO_FOLDERS
from hermes_stream.errors import AnnotationError

FOUR = ["A. red", "B. blue", "C. green", "D. black"]


def written(tmp_path, name, document):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def conversation(**more):
    return {"question": "Which?", "answer": "b", "choices": ["a", "b"], "end_time": 5} | more


def candidate(k, **more):
    return {"video": f"{k}.mp4", "question": "Which?", "candidates": ["a", "b", "c"], "answer": "c"} | more


def videomme(k, **more):
    return {
        "video_id": f"{k // 3:03d}",
        "duration": ("short", "medium", "long")[k % 3],
        "domain": "Knowledge",
        "sub_category": "History",
        "url": "https://example.org/v",
        "videoID": f"v{k // 3}",
        "question_id": f"{k // 3:03d}-{k % 3 + 1}",
        "task_type": "Counting Problem",
        "question": "How many?",
        "options": FOUR,
        "answer": "B",
    } | more


def forward(task, *probes, number, video="a.mp4", **more):
    return {"id": number, "task": task, "video": video, "test_info": list(probes)} | more


def ovo_forward():
    counts = {"realtime": 2, "count": 1}, {"realtime": "00:00:09", "count": "2"}
    steps = {"realtime": 3.0, "step": "boil", "type": 0}, {"realtime": 5, "step": "boil", "type": 1}
    return [
        forward("REC", *counts, number=7, activity="jumping", start_times=[1], end_times=[2]),
        forward("SSR", *steps, number=8, tutorial="Tea", all_steps=["boil"]),
        forward("CRR", {"realtime": 4, "type": 1}, number=9, video="b.mp4", question="What?", answer="Tea."),
    ]


def table(*rows):
    header = ["question_id", "task_type", "question", "time_stamp", "answer", "options"]
    header += ["frames_required", "temporal_clue_type"]
    lines = [header, *rows]

    def quoted(cell):
        return '"' + str(cell).replace('"', '""') + '"'

    return "\r\n".join(",".join(map(quoted, line)) for line in lines) + "\r\n"


def row(name, stamp="00:01:05", answer="B", options=str(FOUR)):
    return [name, "Object Recognition", "What, \nright now?", stamp, answer, options, "single", "Prior"]


def test_streamingbench_table(tmp_path):
    rows = [
        row("Real-Time Visual Understanding_sample_1_1"),
        row("Real-Time Visual Understanding_sample_1_2", stamp="12:30", answer="C"),
        row("Omni-Source_sample_12_5", options='["red", "blue"]'),
    ]
    read = read_annotations(written(tmp_path, "Real_Time.csv", table(*rows)))
    assert read.dialect == "streamingbench_table"
    assert (read.num_videos, read.num_items, read.num_questions, read.oddities) == (2, 3, 3, ())
    one, two = read.episodes
    assert (one.video, two.video) == ("sample_1/video.mp4", "sample_12/video.mp4")
    assert [q.asked_seconds for q in one.questions] == [65.0, 750.0]
    assert (one.questions[0].answer, one.questions[1].answer_index) == ("blue", 2)
    assert one.questions[0].question_id == "Real-Time Visual Understanding_sample_1_1"
    assert two.questions[0].options == ("red", "blue")


def test_a_table_with_one_bad_row(tmp_path):
    rows = [
        row("a_sample_1_1"),
        row("nameless"),
        row("a_sample_1_2", stamp="soon"),
        row("x_3_2", options="?"),
    ]
    read = read_annotations(written(tmp_path, "t.csv", table(*rows)))
    assert (read.num_items, read.num_questions, len(read.oddities)) == (4, 4, 3)
    assert "sample_N_K" in read.oddities[0]
    assert [len(one.questions) for one in read.episodes] == [1, 0]


def test_ovo_forward(tmp_path):
    read = read_annotations(written(tmp_path, "ovo.json", ovo_forward()))
    assert (read.dialect, read.num_videos, read.num_items, read.num_questions) == ("ovo", 2, 3, 5)
    assert read.tasks == {"REC": 2, "SSR": 2, "CRR": 1}
    asked = [q for one in read.episodes for q in one.questions]
    assert {q.question_id: q.answer for q in asked} == {
        "7_0": "1",
        "7_1": "2",
        "8_0": "No",
        "8_1": "Yes",
        "9_0": "Yes",
    }
    assert [q.asked_seconds for q in asked] == [2.0, 3.0, 5.0, 9.0, 4.0]


def test_a_bad_probe_leaves_the_others(tmp_path):
    document = ovo_forward()
    document[1]["test_info"][0]["type"] = 2
    document[2]["test_info"] = "later"
    read = read_annotations(written(tmp_path, "ovo.json", document))
    assert (read.num_questions, len(read.oddities)) == (5, 2)
    assert sum(read.tasks.values()) == 3


def test_splits_in_an_object_are_opened(tmp_path):
    back = {"id": 1, "task": "EPM", "video": "a.mp4", "realtime": 3, "question": "?", "answer": "x"}
    back |= {"options": ["x", "y"], "gt": "0"}
    read = read_annotations(written(tmp_path, "o.json", {"backward": [back], "forward": ovo_forward()}))
    assert (read.num_items, read.num_questions) == (4, 6)
    keyed = {str(one["id"]): one for one in ovo_forward()}
    assert read_annotations(written(tmp_path, "k.json", keyed)).num_questions == 5


def test_oasis(tmp_path):
    points = [
        {"question": "What?", "options": FOUR, "answer": "blue", "gt": "B", "type": "multiple_choice"}
        | {"time": 12.5, "task": "OCR", "id": 3},
        {"question": "What?", "options": FOUR, "answer": "C", "gt": "C", "time": 99999, "task": "OJR"},
        {"question": "What?", "options": FOUR, "gt": "D", "time": "00:00:07", "question_id": "x"},
        {"question": "Why?", "answer": "Because.", "type": "open_ended", "time": 4, "task": "why"},
        {"question": "What?", "options": ["red", "blue"], "answer": "red", "gt": 1, "time": 1, "task": "OCR"},
    ]
    info = {"video_path": "OVO-Bench/a.mp4", "dataset": "OVO-Bench"}
    read = read_annotations(written(tmp_path, "oasis.json", [{"info": info, "breakpoint": points}]))
    assert (read.dialect, read.num_items, read.num_questions, read.oddities) == ("oasis", 1, 5, ())
    (episode,) = read.episodes
    assert [q.asked_seconds for q in episode.questions] == [1, 4, 7, 12.5, math.inf]
    assert [q.answer for q in episode.questions] == ["red", "Because.", "black", "blue", "green"]
    assert [q.kind for q in episode.questions] == ["OCR", "why", "OVO-Bench", "OCR", "OJR"]
    assert [q.question_id for q in episode.questions][2:4] == ["x", "3"]


def test_rvs(tmp_path):
    movie = {"video_id": "tt1", "video_path": "/data/rvs/movie/tt1.npy", "duration": 900}
    movie |= {"clip_start_time": 300, "clip_end_time": 600}
    movie |= {
        "conversations": [{"question": "Why?", "answer": "So.", "start_time": 300, "end_time": 450}] * 2
    }
    read = read_annotations(written(tmp_path, "movie.json", [movie]))
    assert (read.dialect, read.num_videos, read.num_questions) == ("unified", 1, 2)
    assert read.episodes[0].questions[0].asked_seconds == 450
    assert read.episodes[0].clip is None


def test_vstream(tmp_path):
    one = {"video_id": "e_1", "original_video": "e", "start_time": 0, "end_time": 60}
    one |= {"question": "What is cut?", "answer": "Onions.", "answer_type": "object"}
    read = read_annotations(written(tmp_path, "rvs_ego.json", [one, one | {"end_time": "00:02:00"}]))
    assert (read.dialect, read.num_videos, read.num_questions) == ("vstream", 1, 2)
    assert [q.asked_seconds for q in read.episodes[0].questions] == [60, 120]


@pytest.mark.parametrize("name", ["test.json", "test.jsonl", "test.csv"])
def test_videomme(tmp_path, name):
    rows = [videomme(k) for k in range(9)]
    if name.endswith("csv"):
        path = tmp_path / name
        with path.open("w", newline="") as file:
            out = csv.DictWriter(file, rows[0])
            out.writeheader()
            out.writerows(rows)
    else:
        lines = "\n".join(json.dumps(one) for one in rows) + "\n\n"
        path = written(tmp_path, name, lines if name.endswith("l") else rows)
    read = read_annotations(path)
    assert (read.dialect, read.num_videos, read.num_items, read.num_questions) == ("videomme", 3, 9, 9)
    assert [q.group for q in read.episodes[0].questions] == ["short", "medium", "long"]
    first = read.episodes[0].questions[0]
    assert (first.answer, first.kind, first.asked_seconds) == ("blue", "Counting Problem", math.inf)
    assert first.question_id == "000-1"


def test_mvbench_as_a_folder_of_its_tasks(tmp_path):
    for task in VIDEO_FOLDERS:
        bounds = {"start": 1.5, "end": 7} if task in ("action_sequence", "episodic_reasoning") else {}
        written(tmp_path / "json", f"{task}.json", [candidate(k, **bounds) for k in range(3)])
    read = read_annotations(tmp_path / "json")
    assert (read.dialect, read.num_items, read.num_questions) == ("candidates", 60, 60)
    assert read.tasks == dict.fromkeys(sorted(VIDEO_FOLDERS), 3)
    by_kind = {one.questions[0].kind: one for one in read.episodes}
    assert by_kind["action_antonym"].video.startswith("ssv2_video/")
    assert by_kind["episodic_reasoning"].clip == (1.5, 7.0)
    assert by_kind["action_antonym"].clip is None


def test_mlvu(tmp_path):
    rows = [candidate(k, duration=480.5, question_type="plotQA", video=f"movie_{k}.mp4") for k in range(2)]
    read = read_annotations(written(tmp_path, "1_plotQA.json", rows))
    assert (read.dialect, read.num_questions, read.tasks) == ("candidates", 2, {"plotQA": 2})
    assert read.episodes[0].duration_seconds == 480.5
    assert read.episodes[0].questions[0].answer_index == 2


def test_unified_mvbench(tmp_path):
    document = [
        {"video_path": "/data/ssv2/1.webm", "conversations": [conversation(end_time=None)], "video_id": 0},
        {"video_path": "tvqa/x", "clip": [3, 9], "fps": 3, "conversations": [conversation(end_time=None)]},
        {"video_path": "tvqa/x", "clip": [20, 30], "fps": 3, "conversations": [conversation(end_time=25)]},
        {"video_path": "one.mp4", "conversations": [conversation(choices=["b"])]},
    ]
    read = read_annotations(written(tmp_path, "mvbench.json", document))
    assert (read.num_videos, read.num_items, read.num_questions) == (3, 4, 4)
    assert [one.clip for one in read.episodes] == [None, (3.0, 9.0), (20.0, 30.0), None]
    assert read.episodes[2].questions[0].asked_seconds == 5.0
    assert len(read.oddities) == 1


def test_egoschema_of_its_authors(tmp_path):
    options = {f"option {n}": f"{n}" for n in range(5)}
    questions = [{"q_uid": f"u{k}", "google_drive_id": "x", "question": "What?"} | options for k in range(3)]
    path = written(tmp_path, "questions.json", questions)
    written(tmp_path, "subset_answers.json", {"u1": 4, "elsewhere": 0})
    read = read_annotations(path)
    assert (read.dialect, read.num_videos, read.num_questions, len(read.oddities)) == ("egoschema", 3, 3, 2)
    asked = {q.question_id: q for one in read.episodes for q in one.questions}
    assert (asked["u1"].answer, asked["u1"].answer_index) == ("4", 4)
    assert [asked[name].has_truth for name in ("u0", "u1", "u2")] == [False, True, False]


def test_egoschema_of_the_hub(tmp_path):
    row = {"question_idx": "9", "question": "What?", "video_idx": "abc", "option": [*FOUR, "E. white"]}
    read = read_annotations(written(tmp_path, "s.json", [row | {"answer": "2"}, row | {"question_idx": 10}]))
    assert (read.num_videos, read.num_questions) == (1, 2)
    known, secret = read.episodes[0].questions
    assert (known.answer, known.question_id, secret.has_truth) == ("green", "9", False)


def test_files_of_no_use(tmp_path):
    with pytest.raises(AnnotationError, match="folder without files"):
        read_annotations(tmp_path)
    written(tmp_path / "mixed", "a.json", [videomme(0)])
    written(tmp_path / "mixed", "b.json", ovo_forward())
    with pytest.raises(AnnotationError, match="several dialects \\(ovo, videomme\\)"):
        read_annotations(tmp_path / "mixed")
    with pytest.raises(AnnotationError, match="line 2 is not JSON"):
        read_annotations(written(tmp_path, "a.jsonl", "{}\n{\n"))
    with pytest.raises(AnnotationError, match="Parquet"):
        read_annotations(written(tmp_path, "a.parquet", "no table"))
    with pytest.raises(AnnotationError, match="no entries"):
        read_annotations(written(tmp_path, "a.csv", "question_id,task_type\n"))


def test_every_dialect_says_its_keys():
    assert all(dialect.signatures for dialect in DIALECTS.values())

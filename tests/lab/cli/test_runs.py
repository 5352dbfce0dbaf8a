"""Stored runs: they go on after a kill, are shared by programs, and are scored again from their files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.lab.evaluation.test_judging import YES, serving

SCORES = ("accuracy", "low", "high", "chance", "averages", "accuracy_by_kind", "accuracy_by_delay")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three short stories."""
    from hermes_stream.cli import main

    out = tmp_path_factory.mktemp("runs") / "world"
    size = ["--seconds", "8", "--size", "96", "--questions", "10"]
    assert main(["world", "--out", str(out), "--streams", "3", *size]) == 0
    return out


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory):
    """A run from its beginning to its end, and its folder."""
    from hermes_stream.cli import main

    out = tmp_path_factory.mktemp("undisturbed") / "run"
    options = ["--videos", str(folder), "--out", str(out), "--json"]
    assert main(["eval", str(folder / "annotations.json"), *options]) == 0
    return out


def scores_of(document):
    return {name: document[name] for name in SCORES}


def stored_scores(out):
    return scores_of(json.loads((out / "scores.json").read_text()))


def test_the_manifest_says_what_changes_a_score(undisturbed):
    manifest = json.loads((undisturbed / "manifest.json").read_text())
    settings = manifest["settings"]
    assert (settings["fps"], settings["model"], settings["policy"], settings["limit"]) == (
        1,
        "tiny",
        "hermes",
        None,
    )
    assert settings["policy_fields"].startswith("HermesPolicy(")
    assert settings["prompt"] == "{question}"
    assert len(settings["annotations_sha256"]) == 64
    assert settings["pixels"] != [None, None]
    assert settings["tokens_per_temporal_patch"] == 9
    assert manifest["circumstances"]["versions"]["torch"]
    assert manifest["scoring"].keys() == {"scorer", "averaging", "judge", "seed"}


def answers_of(run_folder):
    """What was answered to each question, in the order of answers."""
    given = map(json.loads, (run_folder / "predictions.jsonl").read_text().splitlines())
    shown = ("question_id", "response", "at_seconds", "num_visual_tokens_kept")
    return [tuple(one[name] for name in shown) for one in given]


@pytest.mark.long
def test_a_run_that_is_killed_goes_on_to_the_same_scores(hermes, folder, undisturbed, tmp_path):
    out = tmp_path / "run"
    arguments = ["eval", folder / "annotations.json", "--videos", folder, "--out", out, "--json"]
    started = subprocess.Popen(
        [sys.executable, "-m", "hermes_stream", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    predictions = out / "predictions.jsonl"
    try:
        deadline = time.monotonic() + 300
        while not (predictions.exists() and predictions.read_bytes().count(b"\n") >= 12):
            assert time.monotonic() < deadline
            assert started.poll() is None, "it ended before it could be killed"
            time.sleep(0.002)
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()
    num_answers = predictions.read_bytes().count(b"\n")
    assert 12 <= num_answers < 30
    assert not (out / "scores.json").exists()
    with predictions.open("ab") as file:
        file.write(b'{"question_id": "cut while it was wri')
    run = hermes(*arguments)
    assert (run.code, run.err) == (0, "")
    assert stored_scores(out) == stored_scores(undisturbed) == scores_of(run.document)
    assert answers_of(out) == answers_of(undisturbed)


def test_a_finished_run_watches_nothing_again(hermes, folder, undisturbed):
    before = (undisturbed / "predictions.jsonl").read_bytes()
    run = hermes("eval", folder / "annotations.json", "--videos", folder, "--out", undisturbed, "--json")
    assert (run.code, run.err) == (0, "")
    assert (undisturbed / "predictions.jsonl").read_bytes() == before
    assert scores_of(run.document) == stored_scores(undisturbed)


def test_other_settings_are_refused(hermes, folder, undisturbed):
    run = hermes("eval", folder / "annotations.json", "--videos", folder, "--out", undisturbed, "--fps", 2)
    assert (run.code, run.out, run.err.count("\n")) == (1, "", 1)
    assert "fps is 1" in run.err
    assert "another folder" in run.err


def test_parts_together_are_the_whole(hermes, folder, undisturbed, tmp_path):
    out = tmp_path / "run"
    arguments = ["eval", folder / "annotations.json", "--videos", folder, "--out", out, "--json"]
    first = hermes(*arguments, "--shard", "0/2")
    assert (first.code, first.document["num_videos"]) == (0, 2)
    assert not (out / "scores.json").exists()
    second = hermes(*arguments, "--shard", "1/2")
    assert (second.code, second.document["num_videos"]) == (0, 1)
    run = hermes("score", out, "--annotations", folder / "annotations.json", "--json")
    assert (run.code, run.err) == (0, "")
    assert scores_of(run.document) == stored_scores(undisturbed)
    assert run.document["num_unanswered"] == 0


@pytest.mark.long
def test_programs_share_a_run(hermes, folder, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    out = tmp_path / "run"
    arguments = ["eval", folder / "annotations.json", "--videos", folder, "--out", out, "--json"]
    num_threads = torch.get_num_threads()
    try:
        run = hermes(*arguments, "--workers", 2, "--threads", 2)
    finally:
        torch.set_num_threads(num_threads)
    assert (run.code, run.err) == (0, "")
    assert scores_of(run.document) == stored_scores(undisturbed) == stored_scores(out)
    assert run.document["fps"] == 1
    assert "1 threads" in run.document["machine"]
    assert sorted(answers_of(out)) == sorted(answers_of(undisturbed))


def test_videos_that_are_not_there_are_listed(hermes, folder, tmp_path):
    document = json.loads((folder / "annotations.json").read_text())
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps([*document[:1], document[1] | {"video_path": "gone.mp4"}, document[2]]))
    (tmp_path / "videos").mkdir()
    names = [Path(one["video_path"]).name for one in document]
    os.link(folder / "videos" / names[0], tmp_path / "videos" / names[0])
    (tmp_path / "videos" / names[2]).write_bytes(b"no video")
    run = hermes("eval", path, "--videos", tmp_path, "--json", "--out", tmp_path / "run")
    assert run.code == 0
    missing, failed = run.err.splitlines()
    assert "1 videos are not there, with 10 questions: gone.mp4" in missing
    assert "1 videos are not watched to their end, with 10 questions" in failed
    assert run.document["missing_videos"] == ["gone.mp4"]
    assert list(run.document["failed_videos"]) == [document[2]["video_path"]]
    assert (run.document["num_questions"], run.document["num_unanswered"]) == (10, 20)


def test_a_budget_in_bytes(hermes, folder):
    def document(*arguments):
        common = ["--videos", folder, "--limit", 1, "--json", "--policy", "window"]
        return hermes("eval", folder / "annotations.json", *common, *arguments).document

    from hermes_stream import load_model

    each = load_model("tiny").layout.bytes_per_token
    in_bytes, in_tokens = document("--budget-bytes", 40 * each + 1), document("--budget-tokens", 40)
    assert in_bytes["budget_tokens"] == in_tokens["budget_tokens"] == 40
    assert in_bytes["accuracy"] == in_tokens["accuracy"]


def test_an_array_and_a_filter(hermes, tmp_path):
    np.save(tmp_path / "tt1.npy", np.zeros((6, 96, 96, 3), np.uint8))
    movie = {"video_id": "tt1", "video_path": "/data/rvs/movie/tt1.npy"}
    movie["conversations"] = [{"question": "what is on screen now?", "answer": "nothing", "end_time": 4}]
    path = tmp_path / "movie.json"
    path.write_text(json.dumps([movie]))
    out = tmp_path / "run"
    run = hermes("eval", path, "--videos", tmp_path, "--filter", "dedup", "--json", "--out", out)
    assert (run.code, run.err, run.document["filter"]) == (0, "", "dedup")
    (line,) = map(json.loads, (out / "predictions.jsonl").read_text().splitlines())
    assert (line["at_seconds"], line["num_visual_tokens_seen"]) == (4, 45)


def test_open_answers_are_judged(hermes, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HERMES_JUDGE_API_KEY", "secret")
    path, given = tmp_path / "rvs.json", tmp_path / "p.jsonl"
    asked = {"question": "What is done?", "answer": "Chopping onions.", "end_time": 4}
    path.write_text(json.dumps([{"video_path": "a.mp4", "conversations": [asked] * 3}]))
    names = [f"[0].conversations[{k}]" for k in range(3)]
    lines = [{"question_id": name, "response": f"Onions {name}"} for name in names]
    given.write_text("".join(json.dumps(line) + "\n" for line in lines))
    unjudged = hermes("score", given, "--annotations", path, "--scorer", "official", "--json").document
    assert (unjudged["accuracy"], unjudged["num_unscored"], unjudged["judge"]) == (None, 3, None)
    assert "none of 3 answers" in hermes("score", given, "--annotations", path, "--scorer", "official").out
    with serving(YES, '{"pred": "no", "score": 1}', "what?") as (url, endpoint):
        options = ["--judge-url", url, "--judge-model", "m", "--verdicts", tmp_path / "v.jsonl", "--json"]
        run = hermes("score", given, "--annotations", path, *options)
    assert run.code == 0
    judge = run.document["judge"]
    assert (judge["num_judged"], judge["num_unjudged"], judge["accuracy"], judge["mean_score"]) == (
        2,
        1,
        0.5,
        2.5,
    )
    assert (run.document["accuracy"], run.document["num_unscored"]) == (0.5, 1)
    assert "1 of 3 answers are unjudged" in run.err
    assert all(headers["Authorization"] == "Bearer secret" for _, headers, _ in endpoint.requests)
    assert "secret" not in run.out + run.err + (tmp_path / "v.jsonl").read_text()


def ovo(tmp_path):
    """Made-up annotations, and the responses of a system to them, in the documented form."""
    choice = {"video": "a.mp4", "realtime": 3, "question": "?", "answer": "y", "options": ["x", "y"], "gt": 1}
    jumps = {"activity": "jump", "test_info": [{"realtime": 3, "count": 2}]}
    probes = {"question": "?", "test_info": [{"realtime": 2, "type": 0}, {"realtime": 5, "type": 1}]}
    items = [
        {"id": 0, "task": "EPM"} | choice,
        {"id": 1, "task": "EPM"} | choice,
        {"id": 2, "task": "OCR"} | choice,
        {"id": 3, "task": "REC", "video": "a.mp4"} | jumps,
        {"id": 4, "task": "CRR", "video": "a.mp4"} | probes,
    ]
    (tmp_path / "ovo.json").write_text(json.dumps(items))
    responses = {"0": "The answer is B", "1": "A", "2": "B", "3_0": "2 times", "4_0": "No", "4_1": "no"}
    lines = [json.dumps({"question_id": name, "response": said}) for name, said in responses.items()]
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    return tmp_path / "p.jsonl", "--annotations", tmp_path / "ovo.json"


def test_responses_of_other_systems(hermes, tmp_path):
    arguments = ovo(tmp_path)
    found = hermes("score", *arguments, "--scorer", "official", "--json").document
    assert (found["dialect"], found["num_questions"], found["accuracy"]) == ("ovo", 6, pytest.approx(4 / 6))
    averages = {
        "ovo_backward": 0.5,
        "ovo_realtime": 1.0,
        "ovo_forward": 0.75,
        "ovo": 0.75,
        "ovo_realtime_backward": 0.75,
    }
    assert found["averages"].items() >= averages.items()
    strict = hermes("score", *arguments, "--json").document
    assert strict["averages"]["ovo_backward"] == 0.5
    assert (found["num_unreadable"], strict["num_unreadable"]) == (0, 1)  # "2 times" is no number
    assert strict["averages"]["ovo_forward"] == 0.25
    people = hermes("score", *arguments, "--scorer", "official")
    assert (people.code, people.err) == (0, "")
    assert "75.00%  ovo_realtime_backward" in people.out


def test_responses_as_ovo_bench_stores_them(hermes, tmp_path):
    given, option, annotations = ovo(tmp_path)
    said = {line["question_id"]: line["response"] for line in map(json.loads, given.read_text().splitlines())}
    stored = {"backward": [], "realtime": [], "forward": []}
    for item in json.loads(annotations.read_text()):
        probes = [
            probe | {"response": said[f"{item['id']}_{k}"]}
            for k, probe in enumerate(item.get("test_info", []))
        ]
        part = {"EPM": "backward", "OCR": "realtime"}.get(item["task"], "forward")
        answered = {"test_info": probes} if probes else {"response": said[str(item["id"])]}
        stored[part].append({"id": item["id"], "task": item["task"]} | answered)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(stored))
    documents = [
        hermes("score", file, option, annotations, "--scorer", "official", "--json").document
        for file in (given, path)
    ]
    assert documents[0] == documents[1]


def test_responses_that_cannot_be_read_are_told(hermes, tmp_path):
    given, option, annotations = ovo(tmp_path)
    lines = [{"question_id": "0", "response": {"text": "B"}}, {"question_id": "1", "response": ["B"]}]
    given.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = hermes("score", given, option, annotations, "--json")
    assert (run.document["accuracy"], run.document["num_unreadable"]) == (0.5, 1)
    assert "1 of 2 responses cannot be read and count as wrong, such as 0 (in no known form)" in run.err


def test_lists_of_responses_score_as_their_texts(hermes, tmp_path):
    given, option, annotations = ovo(tmp_path)
    plain = given.read_text()
    lists = [line | {"response": [line["response"]]} for line in map(json.loads, plain.splitlines())]
    found = []
    for lines in (list(map(json.loads, plain.splitlines())), lists):
        given.write_text("".join(json.dumps(line) + "\n" for line in lines))
        found.append(hermes("score", given, option, annotations, "--json").document)
    assert found[0] == found[1]


def test_proactive_responses_as_streamingbench_stores_them(hermes, tmp_path):
    asked = {"task_type": "Proactive Output", "question": "?", "time_stamp": "00:00:05"}
    asked |= {"ground_truth_time_stamp": "00:00:09", "ground_truth_output": "OPEN"}
    clips = [{"questions": [asked | {"question": f"{k}?"}], "video_path": f"{k}.mp4"} for k in range(4)]
    (tmp_path / "questions.json").write_text(json.dumps(clips))
    said = [("OPEN", 11), ("OPEN", 12), ("shut", 9), ("OPEN", None)]
    answered = []
    for clip, (text, at) in zip(clips, said, strict=True):
        turns = [{"role": role, "content": text, "time": at, "cost": 0.1} for role in ("user", "assistant")]
        own = {"answer": text, "dialog_history": turns}
        answered.append(clip | {"questions": [clip["questions"][0] | {"Some-VL": own}]})
    path = tmp_path / "results.json"
    path.write_text(json.dumps(answered))
    arguments = ["score", path, "--annotations", tmp_path / "questions.json", "--scorer", "official"]
    run = hermes(*arguments, "--json")
    assert run.document["proactive"] == {"num_questions": 4, "num_in_time": 2, "num_right_output": 2}
    assert (run.document["accuracy"], run.document["num_unreadable"]) == (0.25, 1)
    path.write_text(json.dumps([answered[1], answered[0], *answered[2:]]))
    shuffled = hermes(*arguments, "--json")
    assert (shuffled.document["num_unknown"], shuffled.document["num_unanswered"]) == (2, 2)


def test_responses_as_streamingbench_stores_them(hermes, tmp_path):
    asked = {"task_type": "Counting", "question": "?", "time_stamp": "00:00:03"}
    asked |= {"answer": "B", "options": ["A. x", "B. y"]}
    clip = {"questions": [asked, asked], "video_path": "a.mp4"}
    (tmp_path / "questions.json").write_text(json.dumps([clip]))
    answered = clip | {"questions": [asked | {"Some-VL": "B. y"}, asked | {"Some-VL": "A"}]}
    path = tmp_path / "results.json"
    path.write_text(json.dumps([answered]))
    arguments = ["score", path, "--annotations", tmp_path / "questions.json", "--scorer", "official"]
    found = hermes(*arguments, "--json").document
    assert (found["accuracy"], found["num_questions"]) == (0.5, 2)
    answered["questions"][0]["Other-VL"] = "A"
    path.write_text(json.dumps([answered]))
    assert "responses under Some-VL, Other-VL" in hermes(*arguments).err
    path.write_text("{}")
    assert "no responses in a known form" in hermes(*arguments).err


def test_responses_that_do_not_meet_questions(hermes, tmp_path):
    given, option, annotations = ovo(tmp_path)
    with given.open("a") as file:
        file.write('\n{"question_id": "99", "response": "A"}\n{"question_id": 1, "response": "B"}\n')
    document = json.loads(annotations.read_text())
    annotations.write_text(json.dumps([*document, document[0] | {"id": 50}]))
    run = hermes("score", given, option, annotations, "--json")
    assert run.code == 0
    counts = [run.document[name] for name in ("num_unknown", "num_unanswered", "num_repeated")]
    assert counts == [1, 1, 1]
    assert run.err.count("warning") == 4
    assert "3_0 ('2 times')" in run.err


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", 1, ["no response", "nothing"]),
        ('{"question_id": "zz", "response": "A"}\n', 1, ["zz", "questions are called 4_0, 0"]),
        ("{\n", 1, ["line 1 is not JSON"]),
    ],
)
def test_responses_of_no_use(hermes, tmp_path, text, code, words):
    given, option, annotations = ovo(tmp_path)
    given.write_text(text)
    run = hermes("score", given, option, annotations)
    assert (run.code, run.out, run.err.count("\n")) == (code, "", 1)
    assert all(word in run.err for word in words)


def test_scoring_what_is_not_there(hermes, tmp_path):
    given, option, annotations = ovo(tmp_path)
    assert "does not exist" in hermes("score", tmp_path / "no.jsonl", option, annotations).err
    (tmp_path / "empty").mkdir()
    assert "holds no predictions" in hermes("score", tmp_path / "empty", option, annotations).err
    assert hermes("score", given).code == 2
    assert hermes("score", given, option, annotations, "--scorer", "kind").code == 2


def test_check(hermes, folder, tmp_path):
    *_, annotations = ovo(tmp_path)
    run = hermes("eval", annotations, "--check", "--json")
    assert (run.code, run.err) == (0, "")
    counts = {name: run.document[name] for name in ("num_videos", "num_items", "num_questions", "tasks")}
    tasks = {"EPM": 2, "CRR": 2, "OCR": 1, "REC": 1}
    assert counts == {"num_videos": 1, "num_items": 5, "num_questions": 6, "tasks": tasks}
    assert (run.document["oddities"], run.document["missing_videos"]) == ([], None)
    looked = hermes("eval", annotations, "--check", "--videos", folder, "--json")
    assert looked.document["missing_videos"] == ["a.mp4"]
    annotations.write_text(json.dumps([{"id": 0, "task": "EPM", "video": "a.mp4", "realtime": "soon"}]))
    people = hermes("eval", annotations, "--check", "--videos", folder)
    assert people.code == 0
    assert "num_questions 1" in people.out
    assert "[0]: 'realtime' is 'soon'" in people.out
    assert hermes("eval", tmp_path / "no.json", "--check").code == 1

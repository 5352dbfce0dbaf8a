"""``hermes eval``: from annotations and videos to scores."""

from __future__ import annotations

import json
from string import ascii_uppercase

import pytest

from hermes_lab.datasets import load_annotations
from hermes_stream import FileSource, Session, load_model
from hermes_stream.synthetic.questions import KIND_GROUPS, QUESTION_KINDS

SCORE = {"accuracy", "low", "high", "chance", "num_questions", "no_interval"}
SECONDS, NUM_QUESTIONS = 8, 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three short stories."""
    from hermes_stream.cli import main

    out = tmp_path_factory.mktemp("eval") / "world"
    size = ["--seconds", str(SECONDS), "--size", "96", "--questions", str(NUM_QUESTIONS)]
    assert main(["world", "--out", str(out), "--streams", "3", *size]) == 0
    return out


@pytest.fixture
def evaluate(hermes, folder):
    def run(*arguments, annotations=None):
        return hermes("eval", annotations or folder / "annotations.json", "--videos", folder, *arguments)

    return run


def test_the_document(evaluate, folder, tmp_path):
    out = tmp_path / "out"
    run = evaluate("--json", "--out", out, "--budget-tokens", 40, "--chunk-frames", 4)
    assert (run.code, run.err) == (0, "")
    assert run.out.count("\n") == 1
    found = run.document
    assert found["annotations"] == str(folder / "annotations.json")
    assert (found["model"], found["policy"], found["budget_tokens"]) == ("tiny", "hermes", 40)
    assert (found["fps"], found["chunk_frames"], found["seed"], found["short_answers"]) == (1, 4, 0, False)
    assert found["versions"].keys() >= {"hermes-stream", "torch", "transformers"}
    assert found["machine"]
    assert (found["num_videos"], found["num_questions"]) == (3, 30)
    assert found.keys() >= SCORE
    assert found["accuracy_by_kind"].keys() == QUESTION_KINDS.keys()
    assert found["accuracy_by_group"].keys() == KIND_GROUPS.keys()
    for own in (*found["accuracy_by_kind"].values(), *found["accuracy_by_group"].values()):
        assert own.keys() == SCORE
        if own["low"] is not None:  # None where all questions of the kind are about one video
            assert 0 <= own["low"] <= own["accuracy"] <= own["high"] <= 1
        assert 0 < own["chance"] <= 1
    by_delay = found["accuracy_by_delay"]
    assert by_delay.keys() == {"overall", "by_kind", "by_group"}
    assert all(one.keys() == SCORE | {"from_seconds", "until_seconds"} for one in by_delay["overall"])

    given = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert len(given) == 30
    assert sum(one["is_right"] for one in given) == pytest.approx(30 * found["accuracy"], abs=1e-3)
    assert sum(one["delay_seconds"] is not None for one in given) == sum(
        one["num_questions"] for one in by_delay["overall"]
    )
    for one in given:
        assert ascii_uppercase[one["option_index"]] == one["response"]
        assert one["is_right"] == (one["options"][one["option_index"]] == one["truth"])
        assert one["num_visual_tokens_seen"] == 9 * (one["at_seconds"] + 1)
        assert one["num_visual_tokens_kept"] <= 40


def test_answers_are_those_of_a_session_that_watches_the_file(evaluate, folder, tmp_path):
    out = tmp_path / "out"
    assert evaluate("--limit", 1, "--short-answers", "--out", out, "--json").code == 0
    episode = load_annotations(folder / "annotations.json")[0]
    session, expected, waiting = Session(load_model("tiny")), [], list(episode.questions)
    for frame in FileSource(folder / episode.video, fps=1):
        session.observe(frame)
        while waiting and waiting[0].asked_seconds == frame.pts_seconds:
            expected.append(session.ask(waiting.pop(0).text, max_new_tokens=16).text)
    given = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [one["response"] for one in given] == expected
    assert {one["option_index"] for one in given} == {None}


def test_the_same_run_gives_the_same_scores(evaluate):
    def scores(*arguments):
        found = evaluate("--json", *arguments).document
        return {name: found[name] for name in (*SCORE, "accuracy_by_kind", "accuracy_by_delay")}

    assert scores() == scores()
    assert scores("--seed", 1)["accuracy"] == scores()["accuracy"]


def test_dialects_give_the_same_scores(hermes, folder, tmp_path):
    from hermes_lab.datasets import write_annotations

    accuracies = set()
    for dialect in ("unified", "streamingbench", "ovo"):
        path = tmp_path / f"{dialect}.json"
        write_annotations(path, load_annotations(folder / "annotations.json"), dialect=dialect)
        run = hermes("eval", path, "--videos", folder / "videos", "--limit", 1, "--json")
        assert run.code == 0
        assert set(run.document["accuracy_by_kind"]) <= set(QUESTION_KINDS)
        accuracies.add(run.document["accuracy"])
    assert len(accuracies) == 1


def test_limit(evaluate):
    found = evaluate("--limit", 2, "--json").document
    assert (found["limit"], found["num_videos"], found["num_questions"]) == (2, 2, 20)


def test_one_video_has_no_interval(evaluate):
    found = evaluate("--limit", 1, "--json").document
    assert (found["low"], found["high"]) == (None, None)


def test_for_people(evaluate):
    run = evaluate("--policy", "window")
    assert (run.code, run.err) == (0, "")
    lines = run.out.splitlines()
    assert lines[0].split() == ["kind", "right", "95", "%", "chance", "questions"]
    words = [line.split()[0] for line in lines if line.strip()]
    assert set(words) >= {*QUESTION_KINDS, *KIND_GROUPS}
    assert "all, 0 to 5 s before" in run.out
    assert "of 30 answers right" in run.out
    assert "3 videos in" in run.out
    assert lines[-1] == "policy window keeps at most 144 visual tokens per layer"
    assert all(len(line) <= 120 for line in lines)


def test_what_is_left_out_is_told(evaluate, folder, tmp_path):
    document = json.loads((folder / "annotations.json").read_text())
    (conversation,) = document[0]["conversations"][:1]
    document[0]["conversations"].append(conversation | {"choices": ["one", " "]})
    document[0]["conversations"].append(conversation | {"end_time": 99})
    document.append({"video_path": "nowhere.mp4", "conversations": [conversation | {"end_time": "later"}]})
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(document))
    run = evaluate("--limit", 1, "--json", annotations=path)
    assert run.code == 0
    assert run.document["num_questions"] == NUM_QUESTIONS + 1
    left_out, late = run.err.splitlines()
    assert left_out.startswith("hermes: warning: left out of the annotations: 1 x ")
    assert "; 1 x " in left_out
    assert sorted(run.document["left_out"].values()) == [1, 1]
    assert late.startswith(f"hermes: warning: 1 of {NUM_QUESTIONS + 1} questions are after the end")
    assert "at 99 s" in late


def test_nothing_that_can_be_asked(evaluate, tmp_path):
    path = tmp_path / "forward.json"
    path.write_text(json.dumps([{"id": 1, "task": "REC", "video": "v.mp4", "test_info": 7}] * 2))
    run = evaluate(annotations=path)
    assert (run.code, run.out) == (1, "")
    assert "2 x cannot be read" in run.err
    assert "'test_info' is 7" in run.err
    path.write_text(json.dumps([{"video_path": "v.mp4", "conversations": []}]))
    assert "it holds no question" in evaluate(annotations=path).err


def test_a_budget_that_does_not_fit_is_told_once(evaluate):
    run = evaluate("--budget-tokens", 100_000, "--limit", 2, "--json")
    assert run.code == 0
    assert run.err.count("warning") == 1
    assert run.document["budget_tokens"] < load_model("tiny").layout.max_positions


def test_a_damaged_video_is_watched_as_far_as_it_goes(hermes, media, tmp_path):
    whole = (media / "testsrc2_vp9.webm").read_bytes()
    (tmp_path / "cut.webm").write_bytes(whole[: len(whole) // 2])
    conversation = {"question": "what is on screen now?", "answer": "nothing", "end_time": 1.0}
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps([{"video_path": "cut.mp4", "conversations": [conversation]}]))
    run = hermes("eval", path, "--videos", tmp_path, "--fps", 10, "--json")
    assert (run.code, run.document["num_questions"]) == (0, 1)
    damage, late = run.err.splitlines()
    assert damage.startswith("hermes: warning: ")
    assert "cut.webm is damaged" in damage
    assert "after the end" in late


@pytest.mark.parametrize("budget", ["--budget-tokens", "--budget-bytes"])
def test_a_budget_is_not_used_by_a_policy_without_bound(evaluate, budget):
    run = evaluate("--policy", "full", budget, 70_000, "--limit", 1, "--json")
    assert run.code == 0
    assert "keeps everything; the budget is not used" in run.err
    assert run.document["budget_tokens"] is None


def test_a_video_that_cannot_be_opened_is_one_line(hermes, folder, tmp_path):
    (tmp_path / "world-000000.mp4").write_bytes(b"no video")
    run = hermes("eval", folder / "annotations.json", "--videos", tmp_path, "--limit", 1)
    assert (run.code, run.out, run.err.count("\n")) == (1, "", 1)
    assert "world-000000.mp4" in run.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--policy", "nosuch"], 2, ["nosuch", "hermes"]),
        (["--limit", "0"], 2, ["--limit"]),
        (["--fps", "0"], 2, ["--fps"]),
        (["--fps", "nan"], 2, ["--fps"]),
        (["--seed", "x"], 2, ["--seed"]),
        (["--out", "{folder}/annotations.json"], 1, ["annotations.json cannot be written"]),
        (["--shard", "4/4"], 2, ["--shard", "0/4"]),
        (["--shard", "half"], 2, ["--shard", "0/4"]),
        (["--workers", "2"], 2, ["--workers", "--out"]),
        (["--budget-bytes", "7"], 2, ["--budget-bytes", "hold no visual token"]),
        (["--budget-bytes", "70000", "--budget-tokens", "7"], 2, ["--budget-bytes"]),
        (["--filter", "nosuch"], 2, ["--filter", "dedup"]),
        (["--scorer", "kind"], 2, ["--scorer", "strict, official"]),
        (["--judge-url", "http://localhost:1/v1"], 2, ["--judge-model"]),
        (["--judge-url", "file:///etc/passwd", "--judge-model", "m"], 1, ["no web address"]),
        (["--videos", "{folder}/missing"], 1, ["there is no folder"]),
        (["--videos", "{folder}/empty"], 1, ["world-000000.mp4", "looked for"]),
        (["--model", "nosuch"], 1, ["nosuch", "tiny"]),
        (["--device", "cuda:99"], 1, ["cuda:99"]),
        (["--dtype", "int3"], 1, ["int3"]),
    ],
)
def test_failures_are_one_line(evaluate, folder, arguments, code, words):
    (folder / "empty").mkdir(exist_ok=True)
    run = evaluate(*(argument.format(folder=folder) for argument in arguments), "--json")
    assert (run.code, run.document["schema"]) == (code, "hermes.error/1")
    assert run.err.startswith("hermes: error: ")
    assert run.err.count("\n") == 1
    assert all(word in run.err for word in words)


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", ["is not JSON"]), ("[]", ["no entries"]), ('[{"a": 1}]', ["of no known dialect", "has a"])],
)
def test_wrong_annotations(evaluate, tmp_path, text, words):
    path = tmp_path / "annotations.json"
    path.write_text(text)
    run = evaluate(annotations=path)
    assert (run.code, run.out) == (1, "")
    assert all(word in run.err for word in (str(path), *words))
    assert run.err.count("\n") == 1
    assert evaluate(annotations=tmp_path / "missing.json").code == 1


def test_annotations_and_videos_are_asked_for(hermes, folder):
    assert hermes("eval").code == 2
    assert hermes("eval", folder / "annotations.json").code == 2

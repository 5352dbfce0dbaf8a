"""``hermes compare``: from annotations and videos to tables, a document and figures."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from hermes_lab.cli.progress import ProgressLines

POLICIES = "hermes;hermes:novelty=0;random"
TIMINGS = {"ttft_seconds", "ttft_low_seconds", "ttft_high_seconds", "took_seconds"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two short stories."""
    from hermes_stream.cli import main

    out = tmp_path_factory.mktemp("compare") / "stories"
    size = ["--seconds", "8", "--size", "96", "--questions", "10"]
    assert main(["world", "--out", str(out), "--streams", "2", *size]) == 0
    return out


@pytest.fixture
def compare(hermes, folder):
    def run(out, *arguments, policies=POLICIES, videos=folder):
        words = ["compare", folder / "annotations.json", "--videos", videos, "--out", out]
        return hermes(*words, "--policies", policies, "--budgets", 30, "--chunk-frames", 4, *arguments)

    return run


def untimed(document):
    if isinstance(document, dict):
        return {name: untimed(own) for name, own in document.items() if name not in TIMINGS}
    return [untimed(own) for own in document] if isinstance(document, list) else document


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept") / "out"


def test_the_document(compare, folder, kept):
    run = compare(kept, "--seeds", 2, "--json")
    assert run.code == 0
    assert run.err.splitlines()[-1] == "hermes: 2 of 2 videos"
    document = run.document
    assert json.loads((kept / "comparison.json").read_text()) == document
    manifest = document["manifest"]
    assert (manifest["model"], manifest["fps"], manifest["seed"], manifest["num_seeds"]) == ("tiny", 1, 0, 2)
    assert (manifest["num_videos"], manifest["num_questions"], manifest["budgets"]) == (2, 20, [30])
    assert manifest["versions"].keys() >= {"hermes-stream", "torch"}
    assert manifest["machine"]
    assert str(folder.parent) not in json.dumps(document)
    assert manifest["command"] == (
        "hermes compare annotations.json --videos stories --policies 'hermes;hermes:novelty=0;random' "
        "--budgets 30 --seeds 2 --reference hermes --chunk-frames 4 --fps 1.0 --out DIR"
    )
    assert document["reference"] == "hermes"
    assert (document["skipped"], document["left_out"]) == ([], {})
    first, second, third = document["scores"]
    assert [one["policy"] for one in (first, second, third)] == POLICIES.split(";")
    assert first["difference"] is None
    assert second["difference"].keys() == {"value", "low", "high"}
    assert (second["num_seeds"], third["num_seeds"]) == (1, 2)
    assert first["accuracy_by_group"].keys() == {"now", "backward", "counting"}
    assert first["cache_bytes"] == second["cache_bytes"] == third["cache_bytes"] > first["host_bytes"] == 0
    assert {file.name for file in kept.iterdir()} >= {"budget.png", "delay.png", "ttft.png", "manifest.json"}
    assert len((kept / "predictions.jsonl").read_text().splitlines()) == 20 * 4


def without_differences(document):
    if isinstance(document, dict):
        return {name: without_differences(own) for name, own in document.items() if name != "difference"}
    return [without_differences(own) for own in document] if isinstance(document, list) else document


def test_eval_gives_the_same_numbers_and_intervals(compare, hermes, folder, kept):
    """An evaluation is a comparison with one policy: accuracy, intervals, chance, kinds, groups, delays."""
    entries = compare(kept, "--seeds", 2, "--json", "--no-plots").document["scores"]
    common = ["--budget-tokens", 30, "--chunk-frames", 4, "--json"]
    shared = {"accuracy", "low", "high", "chance", "num_questions", "num_videos", "num_unscored", "averages"}
    shared |= {"accuracy_by_kind", "accuracy_by_group", "accuracy_by_delay", "budget_tokens", "policy"}
    for entry in entries[:2]:
        words = ["eval", folder / "annotations.json", "--videos", folder, "--policy", entry["policy"]]
        document = hermes(*words, *common).document
        assert {name: document[name] for name in shared} == {
            name: without_differences(entry[name]) for name in shared
        }
    groups = [own for entry in entries for own in entry["accuracy_by_group"].values()]
    assert all(
        own["low"] is own["high"] is None and "2 videos are too few" in own["no_interval"] for own in groups
    )


def test_a_policy_that_draws_gives_the_same_with_the_same_seed(compare, hermes, folder, tmp_path):
    words = ["--seed", 3, "--json"]
    (entry,) = compare(tmp_path / "out", *words, "--no-plots", policies="random").document["scores"]
    asked = ["eval", folder / "annotations.json", "--videos", folder, "--policy", "random"]
    document = hermes(*asked, "--budget-tokens", 30, "--chunk-frames", 4, *words).document
    for name in ("accuracy", "low", "high", "accuracy_by_kind"):
        assert document[name] == without_differences(entry[name])


def test_answers_of_several_policies_are_no_single_run(hermes, folder, kept):
    run = hermes("score", kept, "--annotations", folder / "annotations.json")
    assert (run.code, run.out) == (1, "")
    assert "the answers are of 4 policies, budgets or seeds" in run.err


def test_it_goes_on_where_a_kill_left_it(compare, kept, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(kept, out)
    lines = (kept / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    (out / "predictions.jsonl").write_bytes(b"".join(lines[:45]) + lines[45][:200])
    (out / "comparison.json").unlink()
    run = compare(out, "--seeds", 2, "--json", "--no-plots")
    assert (run.code, run.err) == (0, "hermes: 1 of 1 videos\n")
    assert (out / "predictions.jsonl").read_bytes().startswith(b"".join(lines[:40]))
    assert untimed(run.document) == untimed(json.loads((kept / "comparison.json").read_text()))


def test_nothing_is_left_to_do_and_tables_are_printed(compare, kept, tmp_path):
    run = compare(kept, "--seeds", 2, "--reference", "random")
    assert (run.code, run.err) == (0, "")
    assert run.out.count("hermes:novelty=0") == 4
    for words in ("now", "backward", "counting", "TTFT", "minus random", "a guesser", "0-5 s"):
        assert words in run.out
    assert re.search(r"20 questions \(\d now, \d+ backward, \d counting\) about 2 videos", run.out)
    assert run.out.splitlines()[-1].startswith("comparison.json and 3 figures in ")


def test_what_cannot_watch_is_told(compare, kept):
    run = compare(kept, "--no-plots", policies="hermes,window:budget_tokens=3")
    assert (run.code, run.out) == (2, "")
    run = compare(kept, "--no-plots", "--budgets", "30,5000", policies="hermes")
    assert run.code == 0
    assert "hermes with 5000 tokens is not compared (2 videos)" in run.out


def test_other_settings_need_another_folder(compare, kept):
    before = (kept / "predictions.jsonl").read_bytes()
    run = compare(kept, "--fps", 2)
    assert (run.code, run.out) == (1, "")
    assert "fps is 1.0 there and 2.0 here" in run.err
    assert (kept / "predictions.jsonl").read_bytes() == before


def test_a_broken_video_is_left_out_for_all(compare, folder, tmp_path):
    videos = tmp_path / "videos"
    shutil.copytree(folder / "videos", videos)
    (videos / "world-000000.mp4").write_bytes(b"no video")
    run = compare(tmp_path / "out", "--json", "--no-plots", policies="window", videos=videos)
    assert run.code == 0
    assert "1 videos are not watched to their end, with 10 questions: videos/world-000000.mp4" in run.err
    assert run.document["manifest"]["num_videos"] == 1
    assert list(run.document["left_out"]) == ["videos/world-000000.mp4"]
    (videos / "world-000001.mp4").write_bytes(b"no video")
    run = compare(tmp_path / "none", "--no-plots", policies="window", videos=videos)
    assert (run.code, run.out) == (1, "")
    assert "no video can be watched" in run.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--policies", "nosuch"], 2, ["nosuch"]),
        (["--policies", "window,,hermes:summarize=true"], 2, ["an empty one"]),
        (["--policies", "hermes"], 2, ["twice"]),
        (["--budgets", "many"], 2, ["--budgets", "many"]),
        (["--reference", "full"], 2, ["--reference", "full"]),
        (["--seeds", "0"], 2, ["--seeds"]),
        (["--workers", "0"], 2, ["--workers"]),
        (["--videos", "{out}/missing"], 1, ["there is no folder"]),
        (["--model", "nosuch"], 1, ["nosuch"]),
        (["--out", "{out}/file"], 2, ["--out", "file"]),
    ],
)
def test_failures_are_one_line(compare, tmp_path, arguments, code, words):
    (tmp_path / "file").write_text("a file")
    run = compare(tmp_path / "out", *(argument.format(out=tmp_path) for argument in arguments))
    assert (run.code, run.out) == (code, "")
    assert run.err.startswith("hermes: error: ")
    assert run.err.count("\n") == 1
    assert all(word in run.err for word in words)


def test_time_left(capsys):
    now = iter([0.0, 30.0, 60.0])
    lines = ProgressLines(3, now=lambda: next(now))
    for done in (0.2, 1, 1.5, 3):
        lines(done)
    assert capsys.readouterr().err.splitlines() == [
        "hermes: 1 of 3 videos, about 1:00 left",
        "hermes: 3 of 3 videos",
    ]

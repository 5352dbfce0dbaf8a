"""``hermes world --watches`` and ``hermes eval watches.json``: written, watched and scored by the command."""

from __future__ import annotations

import json

import pytest

from hermes_lab.datasets.watch_annotations import read_watches
from hermes_lab.evaluation import watched_events


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("world") / "w"


@pytest.fixture
def written(hermes, folder):
    if not folder.exists():
        run = hermes(
            "world", "--watches", "--seed", 5, "--streams", 2, "--scene", "all", "--seconds", 60, "--fps", 1,
            "--size", 72, "--questions", 5, "--out", folder, "--json",
        )  # fmt: skip
        assert (run.code, run.err) == (0, "")
        assert run.document["num_watches"] == 2 * run.document["num_watches_that_never_come"]
    return folder


def test_stories_go_through_the_scenes_and_each_has_its_watches(written):
    stories = read_watches(written / "watches.json")
    assert [one.scene for one in stories] == ["still", "noise"]
    assert [one.video for one in stories] == ["videos/world-000005.mp4", "videos/world-000006-noise.mp4"]
    assert all(len(one.watches) >= 10 for one in stories)


@pytest.mark.long
def test_what_is_told_is_scored_beside_who_guesses(hermes, written, tmp_path):
    out = tmp_path / "run"
    run = hermes("eval", written / "watches.json", "--videos", written, "--limit", 1, "--out", out, "--json")
    assert (run.code, run.err) == (0, "")
    found = run.document
    top = ("precision", "recall", "f1", "delay_seconds", "false_alarms_per_hour")
    for scores in (found, *found["by_condition"].values(), *found["baselines"].values()):
        assert set(top) <= set(scores)
    assert found["chunk_frames"] == 1
    assert found["tolerance_seconds"] == 2.0
    assert found["cost"]["num_skipped"] == 0
    assert found["cost"]["num_asked"] > 60 * 10
    assert found["baselines"]["never"]["recall"] == 0.0
    assert found["baselines"]["never"]["num_false"] == 0
    assert found["baselines"]["always"]["recall"] == 1.0
    assert found["f1"] > found["baselines"]["always"]["f1"]
    stored = json.loads((out / "scores.json").read_text())
    assert stored["f1"] == found["f1"]
    assert set(json.loads((out / "events.json").read_text())) == {"videos/world-000005.mp4"}


@pytest.mark.long
def test_a_run_that_was_stopped_goes_on_with_the_stories_it_has(hermes, written, tmp_path, monkeypatch):
    out = tmp_path / "run"
    command = ("eval", written / "watches.json", "--videos", written, "--out", out, "--json")
    whole = hermes(*command[:4], "--out", tmp_path / "whole", "--json").document
    watched, watch_story = [], watched_events.watch_story

    def watch(session, source, story, **options):
        watched.append(story.video)
        return watch_story(session, source, story, **options)

    monkeypatch.setattr(watched_events, "watch_story", watch)
    assert hermes(*command, "--limit", 1).code == 0
    with (out / "stories.jsonl").open("a") as file:
        file.write('{"video": "videos/wor')  # as a kill leaves it
    run = hermes(*command)
    assert (run.code, run.err) == (0, "")
    assert watched == ["videos/world-000005.mp4", "videos/world-000006-noise.mp4"]
    scored = ("f1", "by_condition", "baselines", "false_alarms_per_hour", "num_stories")
    assert {name: run.document[name] for name in scored} == {name: whole[name] for name in scored}
    assert run.document["cost"]["num_asked"] == whole["cost"]["num_asked"]
    assert json.loads((out / "events.json").read_text()) == json.loads(
        (tmp_path / "whole" / "events.json").read_text()
    )
    assert hermes(*command).document["f1"] == whole["f1"]
    assert len(watched) == 2
    for option, value in (("budget_tokens", 300), ("weights", "int8")):
        other = hermes(*command, f"--{option.replace('_', '-')}", value)
        assert other.code == 1
        assert f"{option} is" in other.err


def test_for_people_and_with_the_folder_that_holds_the_videos_themselves(hermes, tmp_path):
    made = ("--watches", "--streams", 1, "--seconds", 20, "--fps", 1, "--size", 72, "--questions", 1)
    assert hermes("world", *made, "--out", tmp_path / "w").code == 0
    annotations = tmp_path / "w" / "watches.json"
    run = hermes("eval", annotations, "--videos", tmp_path / "w" / "videos")
    assert (run.code, run.err) == (0, "")
    lines = run.out.splitlines()
    assert lines[0].split()[:3] == ["F1", "prec.", "recall"]
    assert lines[-1] == "policy hermes keeps at most 144 visual tokens per layer"
    own = hermes("eval", annotations, "--videos", tmp_path / "w" / "videos", "--json").document
    parent = hermes("eval", annotations, "--videos", tmp_path / "w", "--json").document
    assert {**own, "videos": None, "cost": None, "took_seconds": None} == {
        **parent, "videos": None, "cost": None, "took_seconds": None
    }  # fmt: skip


def test_what_is_in_the_file_is_told_without_watching(hermes, written):
    run = hermes("eval", written / "watches.json", "--check", "--json")
    assert run.code == 0
    assert run.document["num_videos"] == 2
    assert 2 * run.document["num_never"] == run.document["num_watches"]


@pytest.mark.parametrize("option", [("--workers", 2), ("--short-answers",), ("--budget-bytes", 9000)])
def test_options_of_questions_are_refused(hermes, written, option):
    run = hermes("eval", written / "watches.json", "--videos", written, *option)
    assert run.code == 2
    assert "without it" in run.err

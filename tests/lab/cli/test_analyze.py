from __future__ import annotations

import json
import sys

import pytest
from tests.commands import KNOWS

NOW = "what is on screen now?"
PICTURES = {"attention.png", "tiers.png", "periodicity.png", "memory.png", "evidence.png"}


def test_a_video(hermes, story, tmp_path):
    out = tmp_path / "seen" / "it"
    run = hermes("analyze", story, "--question", NOW, "--budget-tokens", "40", "--out", out, "--json")
    assert (run.code, run.told) == (0, "")
    assert {path.name for path in out.iterdir()} == PICTURES | {"analysis.json"}
    found = run.document
    assert json.loads((out / "analysis.json").read_text()) == found
    assert (found["video"], found["seed"], found["policy"], found["budget_tokens"]) == (
        str(story),
        None,
        "hermes",
        40,
    )
    study = found["attention"]
    assert (study["num_temporal_patches"], study["tokens_per_temporal_patch"], study["questions"]) == (
        8,
        9,
        [NOW],
    )
    assert len(study["layers"]) == len(found["memory_map"]["layers"]) == 10
    (answer,) = found["answers"]
    assert sum(f["share"] for f in answer["frames"]) + answer["summary_share"] == pytest.approx(1, abs=1e-5)
    assert "truth" not in answer
    kept = [sum(layer["num_tokens"]) + layer["num_summaries"] for layer in found["memory_map"]["layers"]]
    assert max(kept) == found["num_visual_tokens_kept"] <= 40


def test_without_questions_the_guidance_prompts_are_asked(hermes, story):
    study = hermes("analyze", story, "--policy", "full", "--json").document["attention"]
    assert study["questions"] == [NOW, "what came first? what came before? what came after?"]


def test_times_count_from_the_first_picture(hermes, media):
    clip = media / "test_non_zero_start.mp4"
    found = hermes("analyze", clip, "--fps", "10", "--json").document
    assert found["memory_map"]["seconds"] == pytest.approx([0, 0.1, 0.2, 0.3], abs=0.05)
    assert found["memory_map"]["seconds"][0] == found["answers"][0]["frames"][0]["seconds"] == 0


@pytest.mark.parametrize("policy", ["recent_n", "rekv"])
def test_other_memories(hermes, story, policy):
    run = hermes("analyze", story, "--policy", policy, "--budget-tokens", "40", "--json")
    assert (run.code, run.told) == (0, "")
    assert all(layer["tier"] is None for layer in run.document["memory_map"]["layers"])
    assert run.document["answers"][0]["evidence"]


def test_a_story_for_people(hermes):
    run = hermes("analyze", "--seconds", "20", "--seed", "2", "--budget-tokens", "60")
    assert (run.code, run.told) == (0, "")
    assert "recency index" in run.out
    assert "looked at 0:" in run.out
    assert "hermes_paper:sensory_share=" in run.out
    assert "of 180 visual tokens kept" in run.out
    assert "; policy hermes keeps at most 60 visual tokens per layer" in run.out


def test_a_story_knows_what_decides(hermes):
    found = hermes("analyze", "--seconds", "20", "--seed", "2", "--policy", "full", "--json").document
    assert (found["video"], found["seed"]) == (None, 2)
    for answer in found["answers"]:
        spans = answer["decided_seconds"]
        inside = [f for f in answer["frames"] if any(a <= f["seconds"] < b for a, b in spans)]
        assert answer["decided_share"] == pytest.approx(sum(f["share"] for f in inside), abs=1e-5)
        assert answer["decided_token_share"] == pytest.approx(len(inside) / 20, abs=1e-5)
        assert answer["truth"]


def test_without_matplotlib_pictures_are_left_out(hermes, story, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    run = hermes("analyze", story, "--out", tmp_path / "seen")
    assert run.code == 0
    assert run.err.count('pip install "hermes-stream[lab]"') == 1
    assert [path.name for path in (tmp_path / "seen").iterdir()] == ["analysis.json"]
    assert run.out.endswith("seen: analysis.json\n")


def test_what_the_model_does_not_know_is_told(hermes, story):
    run = hermes("analyze", story, "--question", "is there an astronaut?", "--json")
    assert run.document["model_knows"] == KNOWS
    assert run.document["answers"][0]["unknown_words"] == ["astronaut"]
    assert f"tiny knows {KNOWS}, and nothing else" in run.err
    assert "'astronaut' is no word that tiny knows" in run.err


def test_a_long_video_is_studied_as_far_as_it_fits(hermes, story, monkeypatch):
    from hermes_lab.cli import analyze

    monkeypatch.setattr(analyze, "_STUDIED_SHARE", 0.02)
    run = hermes("analyze", story, "--json")
    assert run.code == 0
    assert "attention is studied on the first" in run.err
    assert run.document["studied_until_seconds"] < run.document["last_seconds"] == 7
    assert run.document["attention"]["num_temporal_patches"] < 8

from __future__ import annotations

import av
import pytest


@pytest.fixture(scope="module")
def runs():
    return []


@pytest.fixture
def played(hermes, runs):
    """One run of the demo, for all who look at it."""
    if not runs:
        runs.append(hermes("demo", "--seed", "7", "--seconds", "20", "--budget-tokens", "60", "--json"))
    return runs[0]


def test_document(played):
    assert (played.code, played.err) == (0, "")
    assert played.out.count("\n") == 1
    found = played.document
    assert (found["seed"], found["policy"], found["budget_tokens"]) == (7, "hermes", 60)
    assert found["num_frames"] == 20
    assert found["num_questions"] == len(found["questions"]) == 40
    assert found["num_visual_tokens_kept"] <= 60 < found["num_visual_tokens_seen"] == 180
    assert found["kept_share"] == pytest.approx(found["num_visual_tokens_kept"] / 180, abs=1e-6)
    rights = [one["is_right"] for one in found["questions"]]
    assert found["accuracy"] == pytest.approx(sum(rights) / len(rights), abs=1e-6)
    assert sum(found["num_questions_by_kind"].values()) == len(rights)
    assert found["accuracy_by_kind"].keys() == found["num_questions_by_kind"].keys()
    assert set(found["accuracy_by_group"]) == {"now", "backward", "counting"}
    assert all(one["is_right"] == (one["answer"] == one["truth"]) for one in found["questions"])


def test_a_rival_answers_the_same_questions_from_as_many_tokens(played):
    against, questions = played.document["against"], played.document["questions"]
    assert against["policy"] == "window"
    rights = [said == one["truth"] for said, one in zip(against["answers"], questions, strict=True)]
    assert against["accuracy"] == pytest.approx(sum(rights) / len(rights), abs=1e-6)


def test_same_seed_same_answers(hermes, played):
    again = hermes("demo", "--seed", "7", "--seconds", "20", "--budget-tokens", "60", "--json").document
    answers = [(one["question"], one["answer"]) for one in played.document["questions"]]
    assert [(one["question"], one["answer"]) for one in again["questions"]] == answers


def test_for_people(hermes):
    run = hermes("demo", "--seed", "3", "--seconds", "20", "--policy", "full", "--against", "none")
    assert (run.code, run.err) == (0, "")
    lines = run.out.splitlines()
    assert "story 3" in lines[0]
    assert lines[2].split() == ["time", "kind", "question", "gone", "answer", "truth", "TTFT"]
    assert sum("✓" in line or "✗" in line for line in lines) == 40
    assert all(len(line) <= 120 for line in lines)
    assert "of 40 answers right" in run.out
    assert "180 of 180 visual tokens kept (100%)" in run.out
    assert lines[0].endswith("; policy full keeps all visual tokens per layer")


def test_the_rival_stands_beside(hermes):
    run = hermes("demo", "--seed", "3", "--seconds", "20", "--budget-tokens", "60")
    lines = run.out.splitlines()
    assert lines[0].endswith("; policy hermes keeps at most 60 visual tokens per layer")
    assert lines[2].split()[-1] == "window"
    assert sum(line.count("✓") + line.count("✗") for line in lines) == 80
    assert all(len(line) <= 120 for line in lines)
    assert "; the rival has " in run.out


def test_the_stream_can_be_kept(hermes, tmp_path):
    path = tmp_path / "story.mp4"
    run = hermes("demo", "--seconds", "20", "--against", "none", "--save", path, "--json")
    assert run.code == 0
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.frames) == ("h264", 160)


def test_an_unknown_rival_is_refused(hermes):
    run = hermes("demo", "--against", "everything")
    assert run.code == 2
    assert "'everything' is none of" in run.err

from __future__ import annotations

import math

import pytest
from tests.commands import KNOWS

from hermes_stream import POLICIES, FileSource, Session, load_model
from hermes_stream.filters import FILTERS
from hermes_stream.models.vocabulary import unknown_words
from hermes_stream.synthetic.world import generate_world
from hermes_stream.video import write_video

NOW = "what is on screen now?"
FIRST = "what came first?"
KEYS = {
    "video",
    "model",
    "policy",
    "budget_tokens",
    "fps",
    "num_frames",
    "num_visual_tokens_seen",
    "num_visual_tokens_kept",
    "cache_bytes",
    "answers",
}


@pytest.mark.parametrize(
    ("clip", "duration_seconds"),
    [
        ("av1_video.mkv", 5.0),
        ("bt601_limited_range.mp4", 2.0),
        ("h265_video.mp4", 1.0),
        ("nasa_13013_rotated.mp4", 0.567),
        ("test_non_zero_start.mp4", 0.4),
        ("testsrc2_vp9.webm", 1.0),
    ],
)
@pytest.mark.parametrize("fps", [None, 4])
def test_every_clip_gets_an_answer(hermes, media, clip, duration_seconds, fps):
    run = hermes("ask", media / clip, NOW, "--json", *(() if fps is None else ("--fps", fps)))
    assert (run.code, run.told) == (0, "")
    assert run.out.count("\n") == 1
    found = run.document
    assert found.keys() >= KEYS
    assert found["video"] == str(media / clip)
    assert found["num_frames"] == math.ceil(duration_seconds * (fps or 1))
    assert found["num_visual_tokens_seen"] == 9 * found["num_frames"]
    assert found["num_visual_tokens_kept"] == min(9 * found["num_frames"], found["budget_tokens"])
    (answer,) = found["answers"]
    assert answer["question"] == NOW
    assert answer["answer"]
    assert answer["at_seconds"] == pytest.approx(duration_seconds, abs=0.01)
    assert 0 < answer["ttft_seconds"] <= answer["ttft_with_pending_seconds"]


def test_pixel_bounds_of_a_model_reach_its_pictures(hermes, media):
    """Four temporal patches of 16:9; a visual token is made of 24 x 24 pixels."""
    clip = media / "testsrc2_vp9.webm"
    for bounds, tokens in (("", 8), (":max_pixels=20736", 32), (":max_pixels=2304,min_pixels=600", 2)):
        run = hermes("ask", clip, NOW, "--model", f"tiny-qwen{bounds}", "--fps", 8, "--json")
        assert (run.code, run.told) == (0, "")
        assert run.document["model"] == f"tiny-qwen{bounds}"
        assert run.document["num_visual_tokens_seen"] == 4 * tokens
    refused = hermes("ask", clip, NOW, "--model", "tiny:max_pixels=20736")
    assert refused.code == 1
    assert "mean nothing to a model that resizes every picture to one size" in refused.err


def test_questions_see_the_video_up_to_their_times(hermes, story):
    times = [6.0, 0.0, 3.5]
    options = [option for seconds in times for option in ("--at", seconds)]
    run = hermes("ask", story, NOW, NOW, NOW, *options, "--json")
    assert run.code == 0
    given = run.document["answers"]
    assert [answer["at_seconds"] for answer in given] == times
    assert run.document["num_frames"] == 8

    session, expected = Session(load_model("tiny")), {}
    for frame in FileSource(story, fps=1):
        session.observe(frame)
        expected[frame.pts_seconds] = session.ask(NOW).text
    assert [answer["answer"] for answer in given] == [expected[6], expected[0], expected[3]]


def test_times_count_from_the_first_picture(hermes, media):
    clip = media / "test_non_zero_start.mp4"
    run = hermes("ask", clip, NOW, NOW, "--at", "0.15", "--at", "0.3", "--fps", "10", "--json")
    assert (run.code, run.told) == (0, "")
    assert [answer["at_seconds"] for answer in run.document["answers"]] == [0.15, 0.3]


def test_one_time_serves_all_questions(hermes, story):
    run = hermes("ask", story, NOW, FIRST, "--at", "2", "--json")
    assert [(a["question"], a["at_seconds"]) for a in run.document["answers"]] == [(NOW, 2.0), (FIRST, 2.0)]


@pytest.mark.parametrize("at", ["0:05", "5", "0:00:05", "5.0"])
def test_times_are_written_as_people_do(hermes, story, at):
    run = hermes("ask", story, NOW, "--at", at, "--json")
    assert (run.code, run.document["answers"][0]["at_seconds"]) == (0, 5.0)


def test_a_model_that_knows_its_own_world_alone_says_so(hermes, media):
    clip = media / "testsrc2_vp9.webm"
    run = hermes("ask", clip, "is there an astronaut?", NOW, "--json")
    assert run.document["model_knows"] == KNOWS
    assert [answer["unknown_words"] for answer in run.document["answers"]] == [["astronaut"], []]
    assert run.err.count(f"tiny knows {KNOWS}, and nothing else") == 1
    assert run.told == "hermes: warning: 'astronaut' is no word that tiny knows\n"
    several = hermes("ask", clip, "has a dog or a cat come?")
    assert several.told.startswith("hermes: warning: 'has', 'dog' and 'cat' are no words that tiny knows\n")


def test_a_question_in_bytes_that_the_locale_does_not_know(hermes, story):
    run = hermes("ask", story, b"o\xc3\xb9 est l'astronaute ?".decode("ascii", "surrogateescape"), "--json")
    assert run.document["answers"][0]["question"] == "o\u00f9 est l'astronaute ?"
    assert run.document["answers"][0]["unknown_words"] == ["o\u00f9", "est", "l", "astronaute"]


def test_a_time_after_the_end_is_the_end_and_said_so(hermes, story):
    run = hermes("ask", story, NOW, "--at", "99", "--json")
    assert run.code == 0
    assert run.document["answers"][0]["at_seconds"] == pytest.approx(8)
    assert run.told.startswith("hermes: warning: 99 s is after the end")


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy(hermes, story, policy):
    options = ["--policy", policy, "--budget-tokens", "40", "--chunk-frames", "2", "--json"]
    run = hermes("ask", story, NOW, *options)
    found = run.document
    assert ("the budget is not used" in run.err) == (policy == "full")
    assert found["policy"] == policy
    assert found["num_visual_tokens_seen"] == 72
    if policy == "full":
        assert (found["budget_tokens"], found["num_visual_tokens_kept"]) == (None, 72)
    else:
        assert found["budget_tokens"] == 40
        assert found["num_visual_tokens_kept"] <= 40


def test_policies_keep_different_tokens(hermes, story):
    options = ["--budget-tokens", "40", "--chunk-frames", "2", "--json"]
    documents = {
        name: hermes("ask", story, NOW, "--policy", name, *options).document
        for name in POLICIES
        if name != "full"
    }
    assert documents["rekv"]["num_archived_tokens"] == 36
    kept = {
        name: found["num_kept_by_temporal_patch"]
        for name, found in documents.items()
        if name not in ("full", "streaming_vlm", "recent_n") and "rekv" not in name and "resv" not in name
    }
    assert kept["window"] == {"4": 9, "5": 9, "6": 9, "7": 9}
    assert kept.pop("hermes_best") == kept["hermes"]  # two names of one policy
    assert len({tuple(sorted(frames.items())) for frames in kept.values()}) == len(kept)


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter(hermes, story, name):
    found = hermes("ask", story, NOW, "--filter", name, "--policy", "window", "--json").document
    assert found["filter"] == name
    assert found["num_visual_tokens_dropped"] + found["num_visual_tokens_kept"] == 72
    assert found["answers"][0]["answer"]


def test_a_filter_that_does_not_exist(hermes, story):
    run = hermes("ask", story, NOW, "--filter", "nosuch")
    assert run.code == 2
    assert all(name in run.err for name in FILTERS)


def test_the_default_budget_is_the_models(hermes, story):
    found = hermes("ask", story, NOW, "--json").document
    assert found["budget_tokens"] == load_model("tiny").card.default_budget_tokens


def test_answers_can_be_drawn_and_cut(hermes, story):
    run = hermes("ask", story, NOW, "--temperature", "2", "--seed", "5", "--max-new-tokens", "1", "--json")
    again = hermes("ask", story, NOW, "--temperature", "2", "--seed", "5", "--max-new-tokens", "1", "--json")
    (answer,) = run.document["answers"]
    assert len(answer["answer"].split()) <= 1
    assert again.document["answers"][0]["answer"] == answer["answer"]


def test_for_people(hermes, story):
    run = hermes("ask", story, NOW, FIRST, "--at", "2.5", "--at", "7")
    assert run.code == 0
    question, answer, second, _ = run.out.splitlines()
    assert question == f"0:02.5  {NOW}"
    assert second == f"  0:07  {FIRST}"
    assert answer.endswith(" ms to the first token)")
    assert "8 frames at 1 fps" in run.err
    assert run.err.splitlines()[-1] == "policy hermes keeps at most 144 visual tokens per layer"


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (["1", "2"], ["2 times", "3 questions"]),
        (["-1"], ["-1"]),
        (["nan"], ["nan"]),
        (["soon"], ["--at", "1:30"]),
        (["1:75"], ["1:75", "0 to 59"]),
    ],
)
def test_wrong_times(hermes, story, times, words):
    options = [option for time in times for option in ("--at", time)]
    run = hermes("ask", story, NOW, NOW, NOW, *options)
    assert run.code == 2
    assert all(word in run.err for word in words)


def test_an_empty_question(hermes, story):
    assert hermes("ask", story, "  ").code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuch.mp4", NOW], ["nosuch.mp4", "does not exist"]),
        (["{story}", NOW, "--model", "nosuch"], ["nosuch", "tiny"]),
        (["{story}", NOW, "--device", "cuda:99"], ["cuda:99", "cpu"]),
        (["{story}", NOW, "--dtype", "int3"], ["int3", "bfloat16"]),
        (["{story}", "what? " * 500], ["tokens"]),
        (["{story}", NOW, "--video-stream", "7"], ["stream 7"]),
    ],
)
def test_failures_are_one_line_and_exit_code_1(hermes, story, arguments, words):
    run = hermes("ask", *(argument.format(story=story) for argument in arguments), "--json")
    assert run.code == 1
    assert run.told.startswith("hermes: error: ")
    assert run.told.count("\n") == 1
    assert all(word in run.told for word in words)
    assert run.document["error"]["message"] == run.told.removeprefix("hermes: error: ").rstrip()
    assert run.document["schema"] == "hermes.error/1"


def test_a_budget_beyond_the_models_positions_is_lowered(hermes, story):
    run = hermes("ask", story, NOW, "--budget-tokens", "100000", "--json")
    assert run.code == 0
    assert 500 < run.document["budget_tokens"] < load_model("tiny").layout.max_positions
    assert run.err.startswith("hermes: warning: ")
    assert "100000" in run.err


def test_a_damaged_file_is_watched_as_far_as_it_goes(hermes, media, tmp_path):
    whole = (media / "testsrc2_vp9.webm").read_bytes()
    cut = tmp_path / "cut.webm"
    cut.write_bytes(whole[: len(whole) // 2])
    run = hermes("ask", cut, NOW, "--fps", "10", "--json")
    assert run.code == 0
    assert 1 <= run.document["num_frames"] < 10
    assert run.document["damage"] in run.err
    assert run.told.startswith("hermes: warning: ")
    assert run.told.count("\n") == 1


def test_evidence_of_answers(hermes, story):
    run = hermes("ask", story, NOW, FIRST, "--at", "4", "--at", "7", "--evidence", "--json")
    assert (run.code, run.told) == (0, "")
    for answer in run.document["answers"]:
        moments = answer["evidence"]
        assert 0 < len(moments) <= 5
        shares = [moment["share"] for moment in moments]
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) + answer["summary_share"] <= 1 + 1e-5
        assert 0 < answer["video_share"] < 1
        for moment in moments:
            assert 0 <= moment["from_seconds"] <= moment["seconds"] <= moment["until_seconds"]
            assert moment["until_seconds"] <= answer["at_seconds"]
    plain = hermes("ask", story, NOW, FIRST, "--at", "4", "--at", "7", "--json").document["answers"]
    assert [answer["answer"] for answer in plain] == [a["answer"] for a in run.document["answers"]]
    assert all("evidence" not in answer for answer in plain)


def test_evidence_in_words(hermes, story):
    run = hermes("ask", story, NOW, "--evidence")
    assert run.code == 0
    assert "looked at 0:0" in run.out
    assert "%)" in run.out


def test_evidence_counts_from_the_first_picture(hermes, media):
    clip = media / "test_non_zero_start.mp4"
    run = hermes("ask", clip, NOW, "--fps", "10", "--evidence", "--json")
    for moment in run.document["answers"][0]["evidence"]:
        assert 0 <= moment["from_seconds"] <= moment["until_seconds"] <= 0.4


def test_not_seen_is_offered_or_refused_before_the_video_is_watched(hermes, media, checkpoint_folder):
    clip = media / "testsrc2_vp9.webm"
    run = hermes(
        "ask", clip, NOW, "--model", checkpoint_folder, "--allow-unseen", "--max-new-tokens", 2, "--json"
    )
    assert run.code == 0
    assert run.document["answers"][0]["unseen"] in (True, False)
    refused = hermes("ask", clip, NOW, "--allow-unseen")
    if unknown_words(load_model("tiny").chat.tokenizer, "not seen"):
        assert refused.code == 2
        assert "--allow-unseen" in refused.told
        assert "has no word 'not'" in " ".join(refused.told.split())


def test_an_answer_that_is_not_sure_becomes_a_question_back(hermes, story):
    plain = hermes("ask", story, NOW, "--at", "2.5", "--json").document["answers"][0]
    assert (plain["clarification"], plain["guess"]) == (False, None)
    asked = ("ask", story, NOW, "--at", "2.5", "--clarify-below", "1")
    back = hermes(*asked, "--json").document["answers"][0]
    assert (back["clarification"], back["guess"]) == (True, plain["answer"])
    assert back["answer"] != plain["answer"]
    line = hermes(*asked).out.splitlines()[1]
    assert f"(asks back, would have said {plain['answer']!r}; " in line
    sure = hermes("ask", story, NOW, "--at", "2.5", "--clarify-below", "0", "--json").document["answers"][0]
    assert sure["answer"] == plain["answer"]


@pytest.mark.parametrize("share", ["1.5", "-0.1", "nan"])
def test_a_bound_that_is_no_share_is_refused(hermes, story, share):
    run = hermes("ask", story, NOW, "--clarify-below", share)
    assert run.code == 2
    assert f"{share} is not a number from 0 to 1" in " ".join(run.err.split())


@pytest.fixture(scope="module")
def circle(tmp_path_factory):
    """A story in which a green circle comes at 16 s."""
    path = tmp_path_factory.mktemp("circle") / "circle.mp4"
    write_video(path, generate_world(3294, 26).frames(2), fps=2)
    return path


WHICH = "what colour was the circle?"
UNTIL = ("--until", "was there a green circle?")


def test_a_question_waits_until_what_answers_it_has_been_seen(hermes, circle):
    asked = ("ask", circle, WHICH, NOW, "--at", "2", "--at", "3", "--wait", "20", *UNTIL)
    run = hermes(*asked, "--evidence", "--json")
    assert (run.code, run.told) == (0, "")
    assert run.document["chunk_frames"] == 1
    which, now = run.document["answers"]
    assert (which["question"], which["answer"]) == (WHICH, "green")
    assert (which["at_seconds"], which["answered_seconds"]) == (2.0, 16.0)
    assert which["evidence"]
    assert (now["question"], now["at_seconds"], now["answered_seconds"]) == (NOW, 3.0, 16.0)
    lines = hermes(*asked).out.splitlines()
    assert lines[0] == f"0:02  {WHICH}"
    assert lines[1].startswith("      green  (at 0:16, ")


def test_a_chunk_that_was_asked_for_stays_though_a_question_waits(hermes, circle):
    asked = ("ask", circle, WHICH, "--at", "2", "--wait", "20", *UNTIL, "--chunk-frames", "16", "--json")
    assert hermes(*asked).document["chunk_frames"] == 16


@pytest.mark.parametrize("wait", ["5", "3600"])
def test_what_does_not_come_in_time_or_before_the_end_is_said(hermes, circle, wait):
    until = UNTIL if wait == "5" else ("--until", "was there a white circle?")
    run = hermes("ask", circle, WHICH, "--at", "2", "--wait", wait, *until, "--json")
    assert run.code == 0
    (answer,) = run.document["answers"]
    assert (answer["answer"], answer["answered_seconds"], answer["ttft_seconds"]) == (None, None, None)
    told = hermes("ask", circle, WHICH, "--at", "2", "--wait", wait, *until)
    assert told.out.splitlines()[1] == "      (what answers it did not come in time)"


def test_words_of_what_tells_that_the_model_lacks_are_told(hermes, circle):
    run = hermes("ask", circle, WHICH, "--at", "2", "--wait", "5", "--until", "was there a zebra?")
    assert "'zebra' is no word that tiny knows" in run.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--wait", "5"], "give --at, too"),
        (["--at", "2", "--until", NOW], "give --wait, too"),
        (["--at", "2", "--wait", "0"], "0.0 is no number of seconds above 0"),
        (["--at", "2", "--wait", "inf"], "inf is no number of seconds above 0"),
        (["--at", "2", "--wait", "nan"], "nan is no number of seconds above 0"),
    ],
)
def test_waiting_that_cannot_be_is_refused(hermes, story, options, words):
    run = hermes("ask", story, NOW, *options)
    assert run.code == 2
    assert words in " ".join(run.err.split())


def test_what_cannot_wait_is_told_before_the_video_is_watched(hermes, story):
    run = hermes("ask", story, NOW, "--at", "2", "--wait", "5", "--until", "why? " * 2000)
    assert run.code == 1
    assert "frames" not in run.out

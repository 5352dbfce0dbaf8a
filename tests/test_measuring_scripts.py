"""Scripts of results/: what a failed measurement leaves, and that each runs in its smallest form."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hermes_lab.datasets.watch_annotations import WatchedStory
from hermes_stream.synthetic.happenings import Happening
from hermes_stream.synthetic.watch_truths import WatchTruth

RESULTS = Path(__file__).parents[1] / "results"
LLAVA = "llava-onevision-7b"


@pytest.fixture
def gpu(monkeypatch):
    """The script gpu.py as a module."""
    monkeypatch.syspath_prepend(RESULTS)
    import gpu

    return gpu


@pytest.fixture
def aims(gpu):
    """What gpu.py compares with, as a module."""
    import gpu_aims

    return gpu_aims


@pytest.fixture
def documents():
    """What was measured of one size, all its parts; the pools of captured forwards are invented."""
    names = ("length", "arrival", "streams", "rivals")
    found = {name: json.loads((RESULTS / f"gpu_{LLAVA}_{name}.json").read_text()) for name in names}
    one_stream = {"peak_with_pools_gib": 0.95}
    return found | {"probe": {"sizes": {LLAVA: {"one_stream": one_stream}}, "failed": {}}}


def judged(aims, documents, why_not=None):
    measured = aims.Measured(LLAVA, documents, why_not or {})
    met, missing = aims.judge(measured)
    return {one["aim"]: one for one in met}, {one["what"]: one["why"] for one in missing}


MEMORY = "GiB above the weights, pools of captured forwards included"
FLAT = "TTFT at the longest stream over the shortest"
OVER = "TTFT of reprefill at 256 frames over that of hermes"


def test_all_aims_are_judged_where_all_was_measured(aims, documents):
    found, missing = judged(aims, documents)
    assert missing == {}
    assert len(found) == 12
    assert (found[MEMORY]["measured"], found[MEMORY]["met"]) == (0.95, False)
    assert found[FLAT]["met"] is True
    assert found[OVER]["at_least"] == 10


def left_out(document, policy, num_frames, reason="out of memory"):
    changed = copy.deepcopy(document)
    changed["runs"] = [
        one for one in changed["runs"] if (one["policy"], one["num_frames"]) != (policy, num_frames)
    ]
    changed["left_out"] = [{"policy": policy, "num_frames": num_frames, "reason": reason}]
    return changed


def test_a_row_that_is_left_out_takes_its_own_aims_along_only(aims, documents):
    whole, _ = judged(aims, documents)
    middle = documents | {"length": left_out(documents["length"], "hermes", 256)}
    found, missing = judged(aims, middle)
    assert whole.keys() - found.keys() == {
        "TTFT over its roofline",
        "time per token over its roofline",
        "bytes more at the longest than at 256",
    }
    assert missing["length: hermes at 256 frames"] == "out of memory"
    assert missing["TTFT over its roofline"] == "length, hermes at 256 frames: out of memory"
    longest = documents | {"length": left_out(documents["length"], "hermes", 4096)}
    found, missing = judged(aims, longest)
    assert found.keys() == whole.keys()  # 256 is the longest then
    assert list(missing) == ["length: hermes at 4096 frames"]
    rival = documents | {"rivals": left_out(documents["rivals"], "reprefill", 256)}
    found, missing = judged(aims, rival)
    assert whole.keys() - found.keys() == {OVER}


def test_a_part_without_rows_or_document_is_named(aims, documents):
    whole, _ = judged(aims, documents)
    empty = documents["arrival"] | {"runs": [], "is_finished": False}
    found, missing = judged(aims, documents | {"arrival": empty})
    (lost,) = whole.keys() - found.keys()
    assert "arrival" in lost
    assert missing[lost] == "arrival, hermes at 64 frames: the part was ended before it"
    gone = {name: own for name, own in documents.items() if name != "arrival"}
    _, missing = judged(aims, gone, {"arrival": "ended behind 180 s"})
    assert missing[lost] == "arrival: ended behind 180 s"
    found, missing = judged(aims, {})
    assert found == {}
    assert len(missing) == 14


def test_streams_that_are_all_refused_are_named(aims, documents):
    refused = [{"num_streams": count, "reason": "no room"} for count in (8, 16)]
    streams = documents["streams"] | {"streams": [], "refused": refused}
    found, missing = judged(aims, documents | {"streams": streams})
    assert not any("streams" in name for name in found)
    assert missing["16 streams at one frame a second keep up"] == "16 streams: no room"


def test_a_number_that_was_not_timed_yet_is_named(aims, documents):
    length = copy.deepcopy(documents["length"])
    for row in length["runs"]:
        row["peak_bytes"] = None
    found, missing = judged(aims, documents | {"length": length})
    assert "the part was ended" in missing["bytes more at the longest than at 256"]
    assert found[FLAT]["met"]


def test_memory_without_pools_is_no_aim(aims, documents):
    probe = {"sizes": {}, "failed": {LLAVA: "OutOfMemoryError: 2 GiB"}}
    found, missing = judged(aims, documents | {"probe": probe})
    assert MEMORY not in found
    assert missing[MEMORY].startswith("probe: OutOfMemoryError: 2 GiB; 0.795 GiB without")


def test_the_most_telling_parts_come_first(gpu):
    order = [(part.name, part.size[:5]) for part in gpu.parts(gpu.SIZES, smoke=False)]
    first = [(name, size) for size in ("llava", "qwen2") for name in ("length", "arrival", "streams")]
    last = [(name, size) for name in ("rivals", "streams_64") for size in ("llava", "qwen2")]
    assert order == [("probe", ""), *first, *last]
    assert sum(part.limit_seconds for part in gpu.parts(gpu.SIZES, smoke=False)) <= 45 * 60
    assert all(part.limit_seconds <= 600 for part in gpu.parts(gpu.SIZES, smoke=False))


@pytest.fixture
def measurements(gpu, tmp_path):
    return gpu.Measurements(tmp_path, gpu.parts(gpu.SIZES, smoke=False))


def found_by(monkeypatch, gpu, document, error=None):
    """Let a run of the command leave a document, and fail if there is an error."""

    def run(command, **options):
        if command[0] == "git":
            return subprocess.CompletedProcess(command, 0, stdout="abc1234\n")
        if document is not None:
            folder = Path(command[command.index("--out") + 1])
            folder.mkdir()
            (folder / "bench.json").write_text(json.dumps(document))
        if error is not None:
            raise error
        return None

    monkeypatch.setattr(subprocess, "run", run)


ROWS = json.loads((RESULTS / f"gpu_{LLAVA}_length.json").read_text())
ROWS = {name: ROWS[name] for name in ("frames", "runs", "streams", "left_out", "refused")}
ROWS["runs"] = ROWS["runs"][:1]


def test_a_document_says_what_it_is_of_and_is_passed_over_until_that_changes(gpu, measurements, monkeypatch):
    found_by(monkeypatch, gpu, ROWS | {"is_finished": True})
    part, measurements.commit = measurements.parts[1], gpu.commit()
    assert not measurements.is_done(part, keep_other_code=False)
    measurements.measure(part, draw=False)
    document = measurements.document(part)
    assert (document["commit"], document["made_by"]) == ("abc1234", gpu.made_by(part))
    assert measurements.is_done(part, keep_other_code=False)
    monkeypatch.setattr(gpu, "made_by", lambda part: {"code": "other"})
    assert not measurements.is_done(part, keep_other_code=False)
    assert measurements.is_done(part, keep_other_code=True)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (subprocess.TimeoutExpired("bench", 180), "ended behind 180 s"),
        (subprocess.CalledProcessError(1, "bench"), "its program ended with 1"),
        (OSError("no such program"), "no such program"),
    ],
)
def test_rows_of_a_part_that_fails_are_stored(gpu, measurements, monkeypatch, error, why):
    found_by(monkeypatch, gpu, ROWS | {"is_finished": False}, error)
    part = measurements.parts[1]
    measurements.measure(part, draw=False)
    assert measurements.failed[part.key].startswith(why)
    assert measurements.document(part)["runs"] == ROWS["runs"]
    assert not measurements.is_done(part, keep_other_code=True)
    report = measurements.report()
    assert report["documents"][part.key]["is_finished"] is False
    assert json.loads((measurements.folder / "gpu_aims.json").read_text()) == report
    assert any(part.key in line for line in gpu.lines(report))


def test_a_part_that_finds_nothing_leaves_what_was_there(gpu, measurements, monkeypatch):
    part = measurements.parts[1]
    measurements.path(part).write_text(json.dumps(ROWS))
    found_by(monkeypatch, gpu, ROWS | {"runs": [], "is_finished": False}, OSError("no memory"))
    measurements.measure(part, draw=False)
    assert measurements.document(part) == ROWS


def test_what_a_killed_run_left_beside_its_document_is_kept(gpu, tmp_path):
    (tmp_path / ".gpu_x").mkdir()
    (tmp_path / ".gpu_x" / "bench.json").write_text(json.dumps(ROWS | {"is_finished": False}))
    gpu.keep(tmp_path / "gpu_x.json")
    assert json.loads((tmp_path / "gpu_x.json").read_text())["runs"] == ROWS["runs"]
    assert [path.name for path in tmp_path.iterdir()] == ["gpu_x.json"]


def test_a_step_of_the_probe_that_fails_ends_alone(gpu, tmp_path):
    from speed import Record

    def fail():
        raise RuntimeError("misaligned address\nand more")

    record = Record(tmp_path / "probe.json", {"seed": 0})
    record.step("capture", fail)
    record.step("copies", lambda: 3)
    document = json.loads((tmp_path / "probe.json").read_text())
    assert document["failed"] == {"capture": "RuntimeError: misaligned address"}
    assert (document["seed"], document["copies"], document["is_finished"]) == (0, 3, False)


def test_tables_show_what_there_is(gpu, aims, documents):
    import tables

    length = copy.deepcopy(documents["length"])
    length["runs"][0] |= {"ttft_from_arrival_seconds": None, "peak_bytes": None}
    _, shortest, *_ = tables.runs(length).splitlines()[1:]
    cells = [cell.strip() for cell in shortest.split("|")]
    assert (cells[5], cells[9]) == (".", ".")
    missing = {LLAVA: [{"what": MEMORY, "why": "no room", "at_most": 0.8}]}
    shown = tables.gpu_aims({"sizes": {LLAVA: []}, "missing": missing})
    assert f"| `{LLAVA}`: {MEMORY} | at most 0.8 | no room | not measured |" in shown


def ran(name, *words, folder):
    command = [sys.executable, str(RESULTS / name), "--smoke", *words]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.long
def test_the_measurements_of_a_gpu_run_with_a_small_model(tmp_path):
    only = ("--only", "probe", "length", "streams_64")
    said = ran("gpu.py", *only, "--out", str(tmp_path / "out"), folder=tmp_path)
    assert "missing  share of ingest that compression takes, 8 streams: streams: not measured" in said
    assert "failed:" not in said
    report = json.loads((tmp_path / "out" / "gpu_aims.json").read_text())
    stored = ["gpu_probe", "gpu_tiny_length", "gpu_tiny_streams_64"]
    assert sorted(report["documents"]) == stored
    assert all(one["is_of_todays_code"] and one["is_finished"] for one in report["documents"].values())
    assert {one["aim"] for one in report["sizes"]["tiny"]} >= {FLAT, MEMORY}
    probe = json.loads((tmp_path / "out" / "gpu_probe.json").read_text())
    assert probe["failed"] == {"capture": "RuntimeError: nothing is captured on a processor"}
    assert probe["copied_bytes_per_second"]["pageable, back"] > 0
    assert any("microseconds" in row for row in probe["backends"])


@pytest.mark.long
def test_the_counts_are_made(tmp_path):
    ran("counted.py", "--out", str(tmp_path), folder=tmp_path)
    embedded, narrow = (json.loads((tmp_path / f"counted{end}.json").read_text()) for end in ("", "_7b"))
    assert embedded["models"]["tiny"][0]["kernels_per_chunk"] > 100
    assert [row["policy"] for row in narrow["like_7b"]] == ["window", "hermes", "hermes_paper"]
    assert all(row["compress_launches"] > 0 for row in narrow["like_7b"])
    tokens = json.loads((tmp_path / "counted_tokens.json").read_text())
    assert [row["num_streams"] for row in tokens["runs"]] == [1, 2]


@pytest.mark.long
def test_memory_is_reckoned(tmp_path):
    ran("reckoned_memory.py", "--out", str(tmp_path / "memory.json"), folder=tmp_path)
    (row,) = json.loads((tmp_path / "memory.json").read_text())["like_7b"]
    assert row["num_compressions"] >= 1
    assert row["above_weights_bytes"] > row["buffers_bytes"] > 0


@pytest.mark.long
def test_preparing_is_reckoned(tmp_path):
    ran("reckoned_preparing.py", "--out", str(tmp_path / "preparing.json"), folder=tmp_path)
    rows = json.loads((tmp_path / "preparing.json").read_text())["like_7b"]
    assert [row["picture_rows"] for row in rows] == [392, 392]
    assert all(row["prepare_bytes"] > row["pixels_bytes"] > 0 < row["num_kernels"] for row in rows)


@pytest.mark.long
def test_captured_forwards_are_reckoned(tmp_path):
    ran("reckoned_graphs.py", "--out", str(tmp_path / "graphs.json"), folder=tmp_path)
    rows = json.loads((tmp_path / "graphs.json").read_text())["like_7b"]
    assert [(row["num_tokens"], row["is_in_parts"]) for row in rows] == [
        (count, is_in_parts) for count in (1, 32) for is_in_parts in (False, True)
    ]
    assert all(row["forward_bytes"] > row["stays_bytes"] > 0 for row in rows)


@pytest.mark.long
def test_what_forgetting_costs_is_measured(tmp_path):
    ran("compression.py", "--out", str(tmp_path / "compression.json"), folder=tmp_path)
    runs = json.loads((tmp_path / "compression.json").read_text())["runs"]
    assert [(row["chunk_frames"], row["num_chunks"]) for row in runs] == [(16, 3)] * 3 + [(1, 3)] * 3
    assert all(row["over_window"] > 0 for row in runs)


@pytest.fixture
def stretches(monkeypatch):
    """The script watch_stretches.py as a module."""
    monkeypatch.syspath_prepend(RESULTS)
    import watch_stretches

    return watch_stretches


def test_what_is_told_in_a_stretch_is_scored_apart(stretches):
    watch = WatchTruth(
        name="leaves: red circle",
        condition="leaves",
        question="is there a red circle now?",
        happenings=tuple(Happening(seconds=one) for one in (19.0, 20.0, 70.0)),
    )
    story = WatchedStory(video="a.mp4", duration_seconds=90.0, scene="still", watches=(watch,))
    told = [{"seconds": one, "value": None} for one in (21.0, 22.0, 40.0, 71.0, 80.0)]
    events = {"a.mp4": {watch.name: told}}
    (own,) = stretches.outcomes([story], events, (20.0, 60.0))
    assert (own.matching.num_right, own.matching.num_false, own.watched_seconds) == (2, 1, 40.0)
    (named,) = stretches.false_ones([story], events, (20.0, 60.0))
    assert named["told"] == [[21.0, None], [22.0, None], [40.0, None]]
    assert stretches.false_ones([story], events, (61.0, 79.0)) == []


@pytest.fixture
def standing(monkeypatch):
    """The script standing_sentences.py as a module."""
    monkeypatch.syspath_prepend(RESULTS)
    import standing_sentences

    return standing_sentences


def test_rules_are_replayed_on_what_was_said_in_sentences(standing):
    # a red hat comes in frame 9, a red cup never does; 12 looks, two frames apart
    sure, unsure = [-0.1, -2.4], [-1.0, -0.5]
    hat = [unsure if look < 4 else sure for look in range(12)]
    found = {
        "seed": 5,
        "sought": [["red hat", 9], ["red cup", None]],
        "blank": [[-1.0, -0.5], [-0.1, -2.4]],
        "looks": {"full": [[one, sure if look == 11 else unsure] for look, one in enumerate(hat)]},
    }

    def frames(rule, number):
        return [one.seconds / 10 for one in standing.told(found, "full", rule, number)]

    assert frames("as it is, 0.5", 0) == [9.0]
    assert frames("as it is, 0.5", 1) == [23.0]
    assert frames("own start taken off, 0.6", 0) == [9.0]
    assert frames("blank taken off, 0.6", 0) == [9.0]
    assert frames("blank taken off, 0.6", 1) == []
    sought = [standing.Sought(thing=thing, came_frame=frame) for thing, frame in found["sought"]]
    right, false = (
        standing.outcome(found, one, standing.told(found, "full", "as it is, 0.5", number)).matching
        for number, one in enumerate(sought)
    )
    assert (right.num_right, right.num_false, false.num_false) == (1, 0, 1)
    assert standing.auc([1.0, 2.0], [0.0, 1.0]) == 0.875

"""``hermes bench``: from words to a table, a document and figures."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO

import pytest
from rich.console import Console

from hermes_lab.analysis.latency_plots import plot
from hermes_lab.bench.timed_stream import TimedStream
from hermes_lab.cli.bench_report import _print_table

FAST = ("--frames", "8,64", "--repeats", 3, "--new-tokens", 2, "--size", 72, "--chunk-frames", 8)
RUN_KEYS = {
    "policy",
    "num_frames",
    "ttft_seconds",
    "ttft_from_arrival_seconds",
    "seconds_per_token",
    "ingest_fps",
    "cache_bytes",
    "peak_bytes",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bench") / "out"


def test_the_document(hermes, folder):
    run = hermes("bench", *FAST, "--policies", "hermes,reprefill", "--out", folder, "--json")
    assert run.code == 0
    document = run.document
    assert document == json.loads((folder / "bench.json").read_text())
    rows = [(row["policy"], row["num_frames"]) for row in document["runs"]]
    assert rows == [("hermes", 8), ("hermes", 64), ("reprefill", 8), ("reprefill", 64)]
    assert all(row.keys() >= RUN_KEYS for row in document["runs"])
    short, long = document["runs"][:2]
    assert short["cache_bytes"] == long["cache_bytes"]
    assert long["ttft_over_64_frames"] == 1
    assert document["floor"]["memory_bytes_per_second"] > 0
    assert document["floor"]["operations_per_second"] > 0
    assert (document["model"], document["seed"], document["question_tokens"]) == ("tiny", 0, 32)
    assert document["machine"].keys() == {"device", "processor", "load_average"}
    assert document["versions"]["torch"]
    assert document["is_finished"] is True
    words = document["command"].split()
    assert words[:4] == ["hermes", "bench", "--frames", "8,64"]
    assert str(folder) not in document["command"]
    assert {file.name for file in folder.iterdir()} == {"bench.json", "ttft.png", "memory.png", "ingest.png"}


def test_a_run_that_is_ended_leaves_what_it_had_measured(hermes, tmp_path, monkeypatch):
    whole = TimedStream.measure_peak

    def measure(stream):
        if stream.num_frames == 64:
            raise KeyboardInterrupt
        whole(stream)

    monkeypatch.setattr(TimedStream, "measure_peak", measure)
    run = hermes("bench", *FAST, "--policies", "window", "--out", tmp_path / "out")
    assert run.code != 0
    document = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert document["is_finished"] is False
    assert [row["peak_bytes"] is None for row in document["runs"]] == [False, True]
    assert document["command"].startswith("hermes bench --frames 8,64")


@pytest.mark.long
def test_a_quick_run_keeps_what_is_given(hermes):
    words = ("--frames", "4", "--repeats", 3, "--policies", "window", "--size", 72)
    run = hermes("bench", "--quick", *words, "--json")
    assert run.code == 0
    document = run.document
    assert (document["repeats"], document["new_tokens"], document["max_seconds"]) == (3, 8, 1.0)
    assert [row["num_frames"] for row in document["runs"]] == [4]
    assert document["command"].endswith("--quick")


def test_counts_instead_of_times(hermes, tmp_path):
    words = ("bench", "--count", "--policies", "window", "--chunk-frames", 4, "--size", 72)
    run = hermes(*words, "--json", "--out", tmp_path / "out")
    assert run.code == 0
    assert [one["chunk_frames"] for one in run.document["runs"]] == [4, 1]
    for one in run.document["runs"]:
        assert one["policy"] == "window"
        for name in ("kernels_per_chunk", "bytes_per_chunk", "syncs_per_chunk", "launches_per_token"):
            assert one[name] > 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["bench.json"]
    assert "kernels" in hermes(*words).out


def test_figures_can_be_drawn_again(folder, tmp_path):
    document = json.loads((folder / "bench.json").read_text())
    assert [path.name for path in plot(document, tmp_path)] == ["ttft.png", "memory.png", "ingest.png"]
    assert plot(document | {"runs": []}, tmp_path) == []


@pytest.mark.parametrize("width", [50, 80, 200])
def test_what_does_not_fit_beside_stands_below(width):
    names = ("policy", "frames", "a column of figures", *(f"figure {k}" for k in range(9)))
    columns = {name: lambda row, name=name: f"{row[:3]} {name}" for name in names}
    columns["policy"] = str
    console = Console(width=width, file=StringIO())
    _print_table(console, columns, ["hermes", "hermes:unlike_share=0.25,averaged_tokens=3"])
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert not any("\N{HORIZONTAL ELLIPSIS}" in line for line in lines)
    heads = [line for line in lines if line.startswith("policy")]
    assert all("frames" in line for line in heads)
    assert [sum(name in line for line in heads) for name in names[2:]] == [1] * len(names[2:])
    assert len(heads) == {50: 10, 80: 4, 200: 1}[width]
    for name in names[2:]:
        assert sum(f"her {name}" in line for line in lines) == 2


@pytest.mark.long
def test_for_people(hermes):
    run = hermes("bench", *FAST, "--frames", "250", "--policies", "window,full")
    assert run.code == 0
    for words in ("window", "250*", "GB/s", "ms/token", "beyond the positions"):
        assert words in run.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--model", "tiny", "--random", "llava-onevision-0.5b"), 2, "exclude each other"),
        (("--random", "nosuch"), 1, "no published size"),
        (("--random", "llava-onevision-0.5b", "--weights", "int8"), 2, "not quantised"),
        (("--frames", "16,x"), 2, "whole numbers above 0"),
        (("--frames", "0"), 2, "whole numbers above 0"),
        (("--frames", "16,16"), 2, "a number twice"),
        (("--policies", "hermes,nosuch"), 2, "nosuch"),
        (("--policies", "hermes,hermes"), 2, "twice"),
        (("--repeats", "1"), 2, "--repeats"),
        (("--new-tokens", "1"), 2, "--new-tokens"),
        (("--question-tokens", "4000"), 1, "lower question_tokens"),
        (("--device", "nosuch"), 1, "nosuch"),
        (("--out", "{file}"), 2, "give a folder"),
        (("--streams", "2,many"), 2, "--streams"),
        (("--streams", "2", "--seconds", "0"), 2, "--seconds"),
        (("--streams", "2", "--policies", "reprefill,hermes"), 2, "name another policy first"),
        (("--kv-bits", "4"), 2, "8"),
        (("--count", "--policies", "full"), 2, "never compresses"),
        (("--count", "--policies", "reprefill"), 2, "never compresses"),
    ],
)
def test_bad_wishes_are_refused_in_one_line(hermes, tmp_path, words, code, said):
    (tmp_path / "file").write_text("")
    run = hermes("bench", *(word.format(file=tmp_path / "file") for word in words))
    assert (run.code, run.out) == (code, "")
    assert said in run.err
    assert run.err.count("\n") == 1


@pytest.mark.long
def test_random_weights_need_neither_pyav_nor_a_test_package():
    """Nothing but what the package itself needs, PyAV aside, is imported."""
    code = (
        "import sys\n"
        "for name in ('av', 'pytest', 'hypothesis', 'beartype', 'matplotlib', 'PIL'):\n"
        "    sys.modules[name] = None\n"
        "from hermes_stream.cli import main\n"
        "from hermes_lab.training import shapes\n"
        "small = shapes.ModelShape('small', 'llava_onevision', 'none/none', 1,\n"
        "    shapes.TextShape(2, 64, 128, 2, 1, 32, 300, 4096))\n"
        "shapes.SHAPES['small'] = small\n"
        "built = shapes._FAMILIES['llava_onevision']\n"
        "tower = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)\n"
        "def build(text, shape):\n"
        "    config = built(text, shape)\n"
        "    config['vision_config'].update(tower, image_size=56)\n"
        "    return config\n"
        "shapes._FAMILIES['llava_onevision'] = build\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = [
        "bench",
        "--random",
        "small",
        "--frames",
        "2,4",
        "--chunk-frames",
        "2",
        "--policies",
        "hermes,window",
    ]
    words += ["--repeats", "3", "--new-tokens", "2", "--budget-tokens", "200", "--dtype", "float32", "--json"]
    run = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert document["pictures"].startswith("made in memory")
    assert document["runs"][0]["ingest_seconds_per_frame"]["decode"] is None
    assert len(document["runs"]) == 4


@pytest.mark.long
def test_streams_under_load(hermes, tmp_path):
    words = ("--streams", "1,2", "--seconds", 1, "--size", 72, "--new-tokens", 2)
    run = hermes("bench", *words, "--policies", "hermes", "--out", tmp_path / "out")
    assert run.code == 0
    assert "keeps up" in run.out
    document = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert document["runs"] == []
    assert [row["num_streams"] for row in document["streams"]] == [1, 2]
    assert document["streams"][1].keys() >= {
        "fps_total",
        "fps_per_stream",
        "ttft_median_seconds",
        "ttft_p99_seconds",
        "bytes_per_stream",
        "keeps_up",
    }
    assert [path.name for path in plot(document, tmp_path)] == ["streams.png"]

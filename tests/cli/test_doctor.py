from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.commands import KNOWS

from hermes_stream import Session, __version__, attention_kernels, load_model, packed_kernel
from hermes_stream.cli import machine
from hermes_stream.cli.machine import driver_devices
from hermes_stream.cli.stream_needs import measure


def test_document(hermes):
    run = hermes("doctor", "--budget-tokens", "100", "--json")
    assert (run.code, run.err) == (0, "")
    assert run.out.count("\n") == 1
    found = run.document
    assert found["versions"]["hermes-stream"] == __version__
    assert set(found["versions"]) == {"python", "hermes-stream", "torch", "transformers", "av"}
    assert found["devices"][0]["name"] == "cpu"
    assert found["processor"]["num_threads"] == torch.get_num_threads()
    assert found["processor"]["computes_bfloat16"] in (True, False, None)
    assert found["codecs"]["decoders"] == {"h264": True, "hevc": True, "vp9": True, "av1": True}
    assert found["codecs"]["encoders"] == {"libx264": True}
    stream = found["stream"]
    assert (stream["policy"], stream["budget_tokens"], stream["chunk_frames"]) == ("hermes", 100, 16)
    assert stream["num_layers_by_tier"] == {"sensory": 1, "working": 6, "long_term": 3}
    assert stream["tokens_per_temporal_patch"] == 9
    assert stream["fits"] in (True, None)


KERNELS = {"cuda:0": {"a chunk or a question": "flash", "texts of several streams": "flash, packed"}}


def test_attention_kernels_are_told(hermes, monkeypatch):
    monkeypatch.setattr(machine, "attention_kernels", lambda: KERNELS)
    run = hermes("doctor", "--gpu", "--device", "cpu")
    assert run.code == 0
    assert "attention on cuda:0\n  a chunk or a question     flash\n" in run.out
    assert hermes("doctor", "--gpu", "--device", "cpu", "--json").document["attention_kernels"] == KERNELS


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_doctor_says_so(hermes):
    assert "torch has no CUDA device here" in hermes("doctor", "--gpu").out
    assert hermes("doctor", "--gpu", "--json").document["attention_kernels"] == {}
    plain = hermes("doctor", "--json").document
    assert plain["attention_kernels"] is plain["processor"] is None
    assert "attention" not in hermes("doctor").out


def test_kernels_of_a_gpu_are_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(attention_kernels, "kernels_told", lambda device: {"a chunk": str(device)})
    monkeypatch.setattr(packed_kernel, "packed_kernel", lambda *_: None)
    monkeypatch.setattr(packed_kernel, "summing_kernel", lambda *_: print)
    found = machine.attention_kernels()
    assert list(found) == ["cuda:0", "cuda:1"]
    assert found["cuda:1"] == {
        "a chunk": "cuda:1",
        "texts of several streams": "one stream after the other",
        "a text alone, captured": "flash, in parts",
    }


def test_cameras_that_fit_and_cameras_that_do_not(hermes):
    found = hermes("doctor", "--cameras", "1", "--watches", "1", "--budget-tokens", "60", "--json").document
    cameras = found["cameras"]
    assert cameras["fits"]
    assert cameras["fps"] == 1.0
    assert 0 < cameras["watch_seconds"] < 1
    assert cameras["num_that_fit"] <= min(cameras["num_by_time"], cameras["num_by_memory"] or 10**9)
    crowd = hermes("doctor", "--cameras", "1000000", "--fps", "30", "--budget-tokens", "60")
    assert crowd.code == 0
    assert "DO NOT fit" in crowd.out
    assert "time: a frame takes" in crowd.out


def test_for_people(hermes):
    run = hermes("doctor", "--budget-tokens", "90")
    assert (run.code, run.err) == (0, "")
    assert "1 sensory, 6 working, 3 long-term" in run.out
    assert "90 visual tokens per layer, as much as 10 frames or 0:10 of video at 1 fps" in run.out


def test_the_machine_is_shown_even_where_the_model_fails(hermes):
    run = hermes("doctor", "--model", "nosuch")
    assert run.code == 1
    assert "torch" in run.out
    assert "nosuch" in run.err


def test_what_is_stored_is_what_is_measured(hermes):
    stored = hermes("doctor", "--json").document
    measured = hermes("doctor", "--measure", "--device", "cpu", "--json").document
    assert (stored["is_measured"], measured["is_measured"]) == (False, True)
    differs = {key for key in measured["stream"] if measured["stream"][key] != stored["stream"][key]}
    assert differs <= {"device_free_bytes"}
    assert stored["stream"]["model_knows"] == KNOWS
    assert stored["stream"]["fits"] in (True, None)
    assert "'hermes doctor --measure'" in hermes("doctor").out


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("0, NVIDIA L4, 23034, 22563\n", [("gpu 0", "NVIDIA L4", 23034 << 20, 22563 << 20)]),
        ("0, GH200, [N/A], [N/A]\n", [("gpu 0", "GH200", None, None)]),
        ("no devices were found\n", []),
    ],
)
def test_gpus_are_named_by_their_driver(told, found, tmp_path, monkeypatch):
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\ncat <<'end'\n{told}end\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert [(one.name, one.title, one.total_bytes, one.free_bytes) for one in driver_devices()] == found


def test_a_driver_that_fails_names_no_gpu(tmp_path, monkeypatch):
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\nexit 9\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert driver_devices() == []


@pytest.fixture(scope="module")
def needs():
    return measure(Session(load_model("tiny"))).with_free(10**9)


def test_an_empty_sensory_tier_is_named(needs):
    shallow = replace(needs, num_layers_by_tier={"sensory": 0, "working": 5, "long_term": 3})
    lines = shallow.lines("hermes", chunk_frames=16)
    assert lines["layers"].startswith("8: 0 sensory, 5 working, 3 long-term (no sensory memory")
    assert "no sensory" not in needs.lines("hermes", chunk_frames=16)["layers"]


def test_a_lowered_chunk_is_named(needs):
    assert needs.lines("hermes", chunk_frames=needs.chunk_frames)["chunks"] == f"{needs.chunk_frames} frames"
    assert "not 500" in needs.lines("hermes", chunk_frames=500)["chunks"]


def test_room_on_the_device(needs):
    assert needs.lines("hermes", chunk_frames=16)["fits"].startswith("yes: 1.0 GB free on cpu, room for ")
    full = needs.with_free(5)
    assert full.lines("hermes", chunk_frames=16)["fits"].startswith("NO: 5 bytes free")
    unknown = needs.with_free(None)
    assert unknown.lines("hermes", chunk_frames=16)["fits"].startswith("unknown")


def test_an_endless_stream_grows(needs):
    lines = replace(needs, budget_tokens=None).lines("full", chunk_frames=16)
    assert "growing" in lines["buffers"]
    assert "no budget" in lines["policy"]

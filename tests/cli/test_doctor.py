from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hermes_stream import Session, __version__, load_model
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


@pytest.fixture(scope="module")
def needs():
    return measure(Session(load_model("tiny")), free_bytes=10**9)


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
    full = replace(needs, device_free_bytes=5, fits=False)
    assert full.lines("hermes", chunk_frames=16)["fits"].startswith("NO: 5 bytes free")
    unknown = replace(needs, device_free_bytes=None, fits=None)
    assert unknown.lines("hermes", chunk_frames=16)["fits"].startswith("unknown")


def test_an_endless_stream_grows(needs):
    lines = replace(needs, budget_tokens=None).lines("full", chunk_frames=16)
    assert "growing" in lines["buffers"]
    assert "no budget" in lines["policy"]

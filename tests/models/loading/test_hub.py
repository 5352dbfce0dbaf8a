"""Hub names: found, fetched in two steps, kept; and what is said without a network."""

from __future__ import annotations

import shutil
import socket
import time

import pytest
from tests.models.loading.hub_server import COMMIT, serve

from hermes_stream import ModelError
from hermes_stream.cli.catalogue import list_models
from hermes_stream.models.loading.hub import Hub
from hermes_stream.models.loading.progress import LoadingProgress
from hermes_stream.models.loading.weight_files import read_weight_files

NAME = "somebody/something"


@pytest.fixture
def served(checkpoint_folder, tmp_path):
    """A hub with one good model and one that is pickled, and a note of what it was asked for."""
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    shutil.copy(checkpoint_folder / "config.json", pickled)
    (pickled / "pytorch_model.bin").write_bytes(b"x" * 100)
    asked: list[str] = []
    with serve({NAME: checkpoint_folder, "somebody/pickled": pickled}, asked) as endpoint:
        yield Hub(endpoint=endpoint, cache_folder=tmp_path / "cache"), asked


def test_settings_come_before_weights_and_all_is_kept(served, checkpoint_folder, tmp_path):
    hub, asked = served
    model = hub.look_up(NAME, None)
    folder = model.fetch_settings()
    assert (folder / "config.json").read_bytes() == (checkpoint_folder / "config.json").read_bytes()
    assert not (folder / "model.safetensors").exists()
    weights = checkpoint_folder / "model.safetensors"
    assert model.weight_bytes(folder) == weights.stat().st_size

    moments: list[LoadingProgress] = []
    model.fetch_weights(folder, moments.append)
    assert (folder / "model.safetensors").read_bytes() == weights.read_bytes()
    assert {moment.stage for moment in moments} == {"download"}
    assert (moments[-1].done, moments[-1].total) == (weights.stat().st_size, weights.stat().st_size)
    assert [m.done for m in moments] == sorted(m.done for m in moments)

    asked.clear()
    cached = Hub(offline=True, cache_folder=hub.cache_folder).look_up(NAME, None)
    assert cached.fetch_settings() == folder
    assert read_weight_files(folder).paths == (folder / "model.safetensors",)
    assert asked == []

    (entry,) = (entry for entry in list_models(hub.cache_folder) if entry.source == "cache")
    assert (entry.name, entry.model_type, entry.supported) == (NAME, "llava_onevision", True)
    assert entry.revision == f"{COMMIT[:12]} (main)"
    assert entry.stored_bytes is not None
    assert entry.stored_bytes > weights.stat().st_size


def test_the_cache_serves_while_the_hub_is_away(served, checkpoint_folder):
    hub, _ = served
    folder = hub.look_up(NAME, None).fetch_settings()
    away = Hub(endpoint="http://127.0.0.1:9", cache_folder=hub.cache_folder)
    assert away.look_up(NAME, None).fetch_settings() == folder


def test_what_the_hub_does_not_have(served):
    hub, _ = served
    with pytest.raises(ModelError, match="the hub has no model 'somebody/else'"):
        hub.look_up("somebody/else", None)
    with pytest.raises(ModelError, match="no revision 'v9'"):
        hub.look_up(NAME, "v9")
    with pytest.raises(ModelError, match="is no hub name"):
        hub.look_up("some body/some:thing", None)


def test_pickled_weights_are_refused_before_they_are_fetched(served):
    hub, asked = served
    model = hub.look_up("somebody/pickled", None)
    folder = model.fetch_settings()
    with pytest.raises(ModelError, match=r"no safetensors weights.*pytorch_model\.bin"):
        model.fetch_weights(folder, None)
    assert not any(path.endswith(".bin") for path in asked)


def test_without_a_network_the_error_comes_at_once(tmp_path):
    began = time.perf_counter()
    model = Hub(endpoint="http://127.0.0.1:9", cache_folder=tmp_path).look_up(NAME, None)
    with pytest.raises(ModelError, match=r"cannot be reached.*folders and models of the cache work"):
        model.fetch_settings()
    assert time.perf_counter() - began < 5


def test_a_hub_that_never_answers_is_given_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hub = Hub(endpoint=endpoint, cache_folder=tmp_path, answer_seconds=0.3)
        model = hub.look_up(NAME, "main")
        assert model.unreachable == "no answer within 0.3 seconds"
        with pytest.raises(ModelError, match=r"somebody/something@main.*no answer within"):
            model.fetch_settings()


def test_offline_nobody_is_asked(served):
    hub, asked = served
    offline = Hub(offline=True, endpoint=hub.endpoint, cache_folder=hub.cache_folder)
    model = offline.look_up(NAME, None)
    with pytest.raises(ModelError, match="not asked in offline mode"):
        model.fetch_settings()
    assert asked == []

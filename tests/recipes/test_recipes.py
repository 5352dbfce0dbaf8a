"""Recipes: each is accepted, and run on pushed frames every watch is asked, and an event goes through."""

from __future__ import annotations

import time

import pytest

from hermes_stream import load_model
from hermes_stream.errors import SettingsError
from hermes_stream.recipes import recipe, recipe_names
from hermes_stream.service import Service, ServiceSettings
from hermes_stream.service.settings import StartSettings
from hermes_stream.service.settings_check import check_settings
from hermes_stream.service.settings_files import read_settings
from hermes_stream.service.watch_events import WATCH_KINDS
from hermes_stream.synthetic.world import generate_world

KINDS = (StartSettings, ServiceSettings)
SMALL = {"budget_tokens": 300, "pictures": "remembered", "journal": False}


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny", device="cpu")


def test_there_is_one_for_each_use():
    uses = {"security", "production", "driving", "medical", "assistant", "tagging", "world"}
    assert set(recipe_names()) == uses
    with pytest.raises(SettingsError, match="there is no recipe 'cooking'; recipes: assistant, driving"):
        recipe("cooking")


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_what_it_needs_and_is_accepted(name):
    one = recipe(name)
    assert one.title.endswith(".")
    assert len(one.about) >= 1
    start, service = read_settings(KINDS, base=one.path)
    assert check_settings(service, start) == ()
    assert len(start.watches) >= 3
    assert (start.model == "tiny") == (name == "world")
    assert ("Needs a" in " ".join(one.about)) == (name != "world")
    assert start.webhooks == ()  # nothing leaves the house unless somebody says so


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_runs_on_frames_that_are_pushed(name, tiny, tmp_path):
    start, settings = read_settings(KINDS, base=recipe(name).path)
    settings = settings.model_copy(update=SMALL)
    world = generate_world(3, 12)
    with Service(tiny, tmp_path, settings=settings) as service:
        service.open_stream("cam")
        for watch in start.watches:
            easy = {"raise_at": 1e-6, "clear_at": 0, "hold_seconds": 0, "schedule": None}
            service.watches.put("cam", watch.model_copy(update=easy))
        for frame in world.frames(fps=settings.fps or 1.0):
            service.push_frames("cam", frame, wait_seconds=20)
        deadline = time.monotonic() + 30
        while not _is_done(service):
            assert time.monotonic() < deadline, service.watches.of_stream("cam")
            time.sleep(0.05)
        service._running.store.writer.write(lambda _: None)
        events = service.events(kinds=WATCH_KINDS)
        assert events
        assert all(one.payload["name"] in {watch.label for watch in start.watches} for one in events)


def _is_done(service):
    watches = service.watches.of_stream("cam")
    return all(one.stats.num_asked > 0 and one.failure is None for one in watches)

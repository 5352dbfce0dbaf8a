"""Settings: declared once; file, environment and flags in this order; every fault named at once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel

from hermes_stream.errors import SettingsError
from hermes_stream.service.settings import NamedStream, ServiceSettings, StartSettings, StreamSettings
from hermes_stream.service.settings_check import check_settings, source_options_of
from hermes_stream.service.settings_files import flags_of, read_settings

KINDS = (ServiceSettings, StartSettings)
FILE = """
model = "tiny"
data_dir = "there"
fps = 2
budget_tokens = 100

[streams.door]
source = "rtsp://user:planted@10.0.0.1/a"
policy = "window"
source_options = {transport = "udp", crop = [0, 0, 0.5, 1]}
"""


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> Path:
        (tmp_path / "hermes.toml").write_text(text, encoding="utf-8")
        return tmp_path / "hermes.toml"

    return write


@pytest.mark.parametrize("place", ["file", "environment", "flags"])
def test_a_limit_is_lifted_in_every_place(tmp_path, place):
    file = tmp_path / "settings.toml"
    file.write_text('keep_days = "off"\nkeep_bytes = "off"\n')
    given = {
        "file": {"file": file},
        "environment": {"environment": {"HERMES_KEEP_DAYS": "off", "HERMES_KEEP_BYTES": "off"}},
        "flags": {"flags": {"keep_days": "off", "keep_bytes": "off"}},
    }[place]
    (settings,) = read_settings([ServiceSettings], **given)
    assert (settings.keep_days, settings.keep_bytes) == (None, None)
    (kept,) = read_settings([ServiceSettings], flags={"keep_days": "7", "keep_bytes": "1000"})
    assert (kept.keep_days, kept.keep_bytes) == (7.0, 1000)


def test_later_layers_win(file):
    service, start = read_settings(
        KINDS,
        file=file(FILE),
        environment={"HERMES_FPS": "3", "HERMES_BUDGET_TOKENS": "200", "HERMES_OTHER": "x", "FPS": "9"},
        flags={"budget_tokens": 300, "chunk_frames": None},
    )
    assert (service.fps, service.budget_tokens, service.chunk_frames) == (3.0, 300, 8)
    assert (start.model, start.data_dir) == ("tiny", Path("there"))
    door = start.streams["door"]
    assert (door.policy, door.fps) == ("window", None)
    options = source_options_of(door)
    assert (options.transport, options.crop) == ("udp", (0, 0, 0.5, 1))
    assert read_settings(KINDS) == (ServiceSettings(), StartSettings())


def test_the_environment_says_tables_as_json():
    (start,) = read_settings((StartSettings,), environment={"HERMES_STREAMS": '{"a": {"source": "x.mp4"}}'})
    assert start.streams["a"].source == "x.mp4"


def test_all_faults_are_told_at_once_and_where_they_stand(file):
    with pytest.raises(SettingsError) as caught:
        read_settings(
            KINDS,
            file=file('fps = -1\ncolour = "red"\n[streams.a]\nspeed = 1\n'),
            environment={"HERMES_MAX_QUESTIONS": "many"},
            flags={"pictures": "all"},
        )
    text = str(caught.value)
    for part in (
        "fps in ",
        "hermes.toml: Input should be greater than 0, got -1",
        "'colour' in ",
        "is no option; options: budget_tokens, chunk_frames",
        "streams.a.speed in ",
        "max_questions in the environment: Input should be a valid integer",
        "pictures in the command line: Input should be 'remembered' or 'none', got 'all'",
    ):
        assert part in text
    assert len(text.splitlines()) == 6


def test_a_password_is_not_shown(file):
    text = '[streams.a]\nsource = ["rtsp://user:planted@h"]\n'
    with pytest.raises(SettingsError, match=r"streams.a.source in .*valid string") as caught:
        read_settings(KINDS, file=file(text), environment={"HERMES_STORE": "postgresql://u:planted@h"})
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("fps = ", "is no TOML"), ("\ud800", "is no TOML"), (None, "cannot be read: No such file")],
)
def test_a_file_that_is_none_is_refused(text, message, tmp_path):
    path = tmp_path / "x.toml"
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(SettingsError, match=message):
        read_settings(KINDS, file=path)


def test_flags_are_made_of_the_fields():
    flags = {flag.name: flag for flag in flags_of(ServiceSettings)}
    assert set(flags) == set(ServiceSettings.model_fields)
    budget = flags["budget_tokens"]
    assert (budget.option, budget.kind, budget.default) == ("--budget-tokens", int, None)
    assert budget.text.startswith("Visual tokens that each layer keeps")
    assert (flags["pictures"].kind, flags["pictures"].choices) == (str, ("remembered", "none"))
    assert (flags["journal"].kind, flags["journal"].default) == (bool, True)
    assert flags["kv_bits"].kind is int
    assert all(flag.text for flag in flags.values())
    assert [flag.name for flag in flags_of(StartSettings)] == ["model", "threads", "data_dir"]

    class Several(BaseModel):
        hosts: tuple[str, ...] = ()
        level: Literal["a", "b"] | None = None
        path: Path | None = None

    assert [(flag.kind, flag.repeats) for flag in flags_of(Several)] == [
        (str, True),
        (str, False),
        (Path, False),
    ]


def test_a_check_opens_nothing(tmp_path):
    start = StartSettings(data_dir=tmp_path / "none" / "yet")
    assert check_settings(ServiceSettings(), start) == ()
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").touch()
    streams = {
        "a/b": {"source": "x"},
        "c": {"policy": "none", "source_options": {"pace": "slow"}},
        "d": {"filter": "none", "source_options": {"colour": 1}},
    }
    faults = check_settings(
        ServiceSettings(store="mysql://x", policy="hermes:colour=1", max_streams=2),
        StartSettings(data_dir=tmp_path / "file", streams=streams),
    )
    told = "\n".join(faults)
    for part in (
        "settings: policy:",
        "is no folder",
        "store: the record cannot be kept in 'mysql'",
        "3 streams are named, and max_streams is 2",
        "a stream's name must be",
        "streams.c: policy: 'none'",
        "streams.c.source_options: pace is 'slow'",
        "streams.d: filter: 'none'",
        "streams.d.source_options:",
    ):
        assert part in told


def test_settings_are_values():
    with pytest.raises(ValueError, match="frozen"):
        ServiceSettings().fps = 2
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        StreamSettings(chunk_frames=0)


def test_a_stream_that_is_an_address_instead_of_a_table_is_not_shown(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("[streams]\ndoor = 'rtsp://me:plum@camera/1'\n")
    with pytest.raises(SettingsError, match=r"streams\.door") as refused:
        read_settings((StartSettings,), file=path)
    assert "plum" not in str(refused.value)


def test_a_number_that_is_one_of_few_is_read_from_text():
    (settings,) = read_settings((ServiceSettings,), environment={"HERMES_KV_BITS": "8"})
    assert settings.kv_bits == 8


def test_an_option_of_a_source_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="no options: nope; options: crop"):
        source_options_of(NamedStream(source="clip.mp4", source_options={"nope": 1}))

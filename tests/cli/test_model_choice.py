from __future__ import annotations

import pytest
import typer

from hermes_stream.cli.model_choice import read_model


@pytest.mark.parametrize(
    ("words", "name", "fields"),
    [
        ("tiny", "tiny", {}),
        ("some/where", "some/where", {}),
        ("C:\\models\\mine", "C:\\models\\mine", {}),
        ("a/b:max_pixels=151200, min_pixels=3136", "a/b", {"max_pixels": 151200, "min_pixels": 3136}),
        ("a/b:revision=1234567,offline=true", "a/b", {"revision": "1234567", "offline": True}),
        ("a/b:device_map=auto", "a/b", {"device_map": "auto"}),
        ('a/b:device_map={"": 0, "lm_head": 1}', "a/b", {"device_map": {"": 0, "lm_head": 1}}),
    ],
)
def test_a_name_and_how_it_is_loaded(words, name, fields):
    assert read_model(words) == (name, fields)


def test_a_folder_may_be_called_anything(tmp_path):
    folder = tmp_path / "run:lr=3"
    folder.mkdir()
    assert read_model(str(folder)) == (str(folder), {})


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("", "the name is empty"),
        (":max_pixels=3", "the name is empty"),
        ("tiny:maxpixels=3", "'maxpixels=3' is not a field with its value; fields: revision, device_map"),
        ("tiny:max_pixels=many", "max_pixels must be int, got 'many'"),
        ("tiny:max_pixels=true", "max_pixels must be int, got True"),
        ("tiny:offline=yes", "offline must be bool, got 'yes'"),
    ],
)
def test_mistakes_are_named(words, reason):
    with pytest.raises(typer.BadParameter, match=reason):
        read_model(words)

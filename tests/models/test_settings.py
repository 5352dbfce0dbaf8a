"""Settings are checked when they are read: type, range, what is accepted."""

from __future__ import annotations

import json
import shutil

import pytest

from hermes_stream import ModelError, load_model
from hermes_stream.models.settings import Settings, read_settings


def settings(**values) -> Settings:
    return Settings(values, "some.json")


def test_a_missing_or_null_value_is_the_default():
    for one in (settings(), settings(a=None)):
        assert one.integer("a", None) is None
        assert one.number("a", 2.5) == 2.5
        assert one.channels("a", (1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0)
        assert one.choice("a", {"x": "x", 3: "three"}, default=3) == "three"
        assert one.texts("a", frozenset("b")) == one.section("a").values == {}


def test_a_good_value_is_returned():
    assert settings(a=1).integer("a", 5) == 1
    assert settings(a=7).number("a", 2.5) == 7.0
    assert settings(a=[0, 1, 2.5]).channels("a", (1.0, 1.0, 1.0)) == (0.0, 1.0, 2.5)
    assert settings(a="x").choice("a", {"x": 1, "y": 2}, default="y") == 1
    assert settings(a={"b": "c"}).texts("a", frozenset("b")) == {"b": "c"}
    assert settings(a={"b": 3}).section("a").integer("b", 1) == 3


@pytest.mark.parametrize(
    ("method", "value", "accepted"),
    [
        *[("integer", value, "a whole number of at least 1") for value in (0, -1, 2.0, True, "1")],
        *[("number", value, "a number above 0") for value in (0, -0.5, "1", False, [1])],
        *[("channels", value, "a list of three numbers") for value in ([1, 2], [1, 2, "3"], 1, [1, 2, True])],
        ("section", [1], "a JSON object"),
    ],
)
def test_other_values_are_refused(method, value, accepted):
    arguments = () if method == "section" else (None,)
    with pytest.raises(ModelError) as refused:
        getattr(settings(a=value), method)("a", *arguments)
    assert str(refused.value) == f"a in some.json is {value!r}; accepted: {accepted}"


@pytest.mark.parametrize("value", [["x"], {}, 5, "z"])
def test_what_is_no_choice_is_refused(value):
    with pytest.raises(ModelError, match=r"accepted: 'x', 3 \(three\)"):
        settings(a=value).choice("a", {"x": "x", 3: "three"}, default="x")


@pytest.mark.parametrize("value", [["b"], {"c": "text"}, {"b": 3}])
def test_texts_have_known_names(value):
    with pytest.raises(ModelError, match="accepted: texts for b"):
        settings(a=value).texts("a", frozenset("b"))


def test_a_nested_setting_names_its_section():
    with pytest.raises(ModelError, match=r"b in a in some\.json is 'c'"):
        settings(a={"b": "c"}).section("a").integer("b", 1)


def test_a_file_must_hold_an_object(tmp_path):
    path = tmp_path / "some.json"
    with pytest.raises(ModelError, match=r"some\.json is not valid JSON"):
        read_settings(path)
    path.write_text("[1]")
    with pytest.raises(ModelError, match=r"some\.json must hold a JSON object, it holds a list"):
        read_settings(path)


@pytest.mark.parametrize(
    "setting",
    [
        {"training_fps": 0},
        {"training_frames": 1.5},
        {"memory_budget_tokens": "many"},
        {"multiple_choice": "number"},
        {"guidance_prompts": {"first_prompt": "what?"}},
    ],
)
def test_a_config_with_a_bad_setting_is_refused(checkpoint_folder, tmp_path, setting):
    folder = shutil.copytree(checkpoint_folder, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | setting))
    with pytest.raises(ModelError, match=rf"{next(iter(setting))} in config\.json is .*; accepted: "):
        load_model(folder, device="cpu")

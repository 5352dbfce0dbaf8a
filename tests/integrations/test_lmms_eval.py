"""The plugin for lmms-eval, as far as it goes without lmms-eval."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hermes_stream import Session, load_model

PLUGIN = Path(__file__).parents[2] / "integrations" / "lmms_eval"


@pytest.fixture
def plugin(monkeypatch):
    monkeypatch.syspath_prepend(PLUGIN / "src")
    yield
    for name in [name for name in sys.modules if name.startswith("hermes_lmms_eval")]:
        del sys.modules[name]


def test_the_entry_point_names_what_is_there(plugin):
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"]["lmms_eval.models"]["hermes"].partition(":")
    manifest = getattr(__import__(module), name)
    with pytest.raises(ImportError, match="lmms_eval"):
        manifest()
    tree = ast.parse((PLUGIN / "src/hermes_lmms_eval/model.py").read_text())
    assert "Hermes" in [node.name for node in tree.body if isinstance(node, ast.ClassDef)]


def test_it_watches_and_answers(plugin, tmp_path):
    from hermes_lmms_eval.watching import answer, make_policy

    model = load_model("tiny", device="cpu")
    np.save(tmp_path / "a.npy", np.zeros((4, 96, 96, 3), np.uint8))
    settings = {"max_new_tokens": 4, "until": ["\n"], "fps": 1.0}
    pictures = [Image.new("RGB", (96, 96))] * 2
    session = Session(model, make_policy("window", 40, model))
    given = answer(session, [str(tmp_path / "a.npy"), pictures], "what is on screen now?", settings)
    assert given
    assert session.stats.num_frames == 6
    assert session.policy.budget_tokens == 40
    assert make_policy("full", 40, model).budget_tokens is None
    with pytest.raises(ValueError, match="no policy; choose one of hermes"):
        make_policy("nosuch", None, model)

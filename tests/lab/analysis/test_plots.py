"""Pictures show the measured values, and say so where there are none."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.lab.analysis.test_attention import planted

from hermes_lab.analysis import plots
from hermes_lab.analysis.attention import study_of
from hermes_lab.analysis.figures import save
from hermes_lab.analysis.memory_map import LayerMemory, MemoryMap
from hermes_lab.analysis.thumbnails import Thumbnails
from hermes_stream import Frame, MissingPackageError


def held(layer, num_tokens, tier=None, summaries=0) -> LayerMemory:
    return LayerMemory(
        layer_idx=layer,
        tier=tier,
        num_tokens=num_tokens,
        num_text_tokens=(0,) * len(num_tokens),
        num_summaries=summaries,
        num_summarized_tokens=9 * summaries,
    )


MAP = MemoryMap(
    temporal_patch_ids=(0, 1, 5),
    seconds=(0.0, 2.0, 10.0),
    layers=(held(0, (0, 1, 4), "working"), held(1, (3, 0, 2), "long_term", summaries=2)),
)


def pictures(num_frames=6) -> Thumbnails:
    thumbnails = Thumbnails()
    for k in range(num_frames):
        thumbnails.add(Frame(pts_seconds=2.0 * k, image=np.full((9, 16, 3), 40 * k, dtype=np.uint8)))
    return thumbnails


def meshes(figure):
    return [mesh for axes in figure.axes for mesh in axes.collections if hasattr(mesh, "get_coordinates")]


def study(num_frames=8):
    rows = [[0.0, 0, 0.5] * num_frames, [0.1] * 3 * (num_frames - 1) + [0.9] * 3]
    return study_of([planted(rows, tokens_per_temporal_patch=3)], questions=["?"])


def test_the_map_shows_every_number_at_its_time():
    figure = plots.draw_map(MAP, pictures(), span=(0.0, 10.0))
    mesh = meshes(figure)[0]
    edges = mesh.get_coordinates()[0, :, 0].tolist()
    assert edges == [0, 2, 2, 4, 10, 12]
    cells = mesh.get_array()
    assert cells[:, ::2].filled(0).tolist() == [[0, 1, 4], [3, 0, 2]]
    assert cells.mask[:, 1::2].all()
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert words == ["working", "long-term\n+ 2 summaries"]


def test_attention_is_drawn_on_a_log_scale_around_even():
    mesh = meshes(plots.draw_attention(study()))[0]
    assert mesh.norm.vmin * mesh.norm.vmax == pytest.approx(1)
    shown = np.asarray(mesh.get_array())
    assert shown[0] == pytest.approx(1)
    assert shown[1, 0] == pytest.approx(8 * 2.7 / (2.1 + 2.7), rel=1e-3)


@pytest.mark.parametrize("num_frames", [1, 2, 8])
def test_every_picture_can_be_written(tmp_path, num_frames):
    measured = study(num_frames)
    row = plots.EvidenceRow(title="what? " * 40, seconds=(0.0, 2.0), shares=(0.2, 0.7), spans=((0.0, 2.0),))
    empty = replace(MAP, temporal_patch_ids=(), seconds=(), layers=(held(0, ()), held(1, ())))
    figures = [
        plots.draw_attention(measured),
        plots.draw_tiers(measured),
        plots.draw_periodicity(measured),
        plots.draw_map(MAP, pictures(), span=(0.0, 10.0)),
        plots.draw_map(empty, Thumbnails(), span=(0.0, 1.0)),
        plots.draw_evidence([row, replace(row, spans=())], pictures(), span=(0.0, 10.0), period=2.0),
    ]
    for k, figure in enumerate(figures):
        save(figure, tmp_path / f"{k}.png", dpi=plots.DPI)
        with Image.open(tmp_path / f"{k}.png") as image:
            assert image.width == 880
            assert np.asarray(image.convert("L")).std() > 5


def test_the_same_values_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        save(plots.draw_tiers(study()), tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match=r"hermes-stream\[lab\]"):
        plots.draw_tiers(study())


def test_the_time_from_frame_to_frame():
    assert plots.patch_period((0, 1, 5), (0.0, 2.0, 10.0)) == 2
    assert plots.patch_period((3,), (7.0,)) == 1


def test_pictures_name_model_and_memory_and_tell_that_nothing_was_evicted():
    figure = plots.draw_map(MAP, pictures(), span=(0.0, 10.0), about="tiny, full", note="nothing was evicted")
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "nothing was evicted" in words
    assert figure.axes[0].get_title().endswith("\ntiny, full")
    for draw in (plots.draw_attention, plots.draw_tiers, plots.draw_periodicity):
        assert draw(study(), about="tiny, all").axes[0].get_title().endswith("\ntiny, all")


def test_boundaries_at_the_first_and_the_last_layer_are_not_on_the_frame():
    figure = plots.draw_tiers(study())
    for axes in figure.axes[:2]:
        low, high = axes.get_xlim()
        drawn = [line.get_xdata()[0] for line in axes.lines if "proposed" in str(line.get_label())]
        assert len(drawn) == 2
        assert all(low + 0.1 < x < high - 0.1 for x in drawn)

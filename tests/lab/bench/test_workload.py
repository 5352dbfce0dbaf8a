from __future__ import annotations

import sys

import numpy as np
import pytest

from hermes_lab.bench.workload import (
    count_question_tokens,
    decode_as_video,
    generate_images,
    make_question,
    make_workload,
    without_stop_tokens,
)
from hermes_stream import CapacityError


def test_frames_are_decoded_and_go_on_without_end(model):
    workload = make_workload(model, image_size=64, question_tokens=16, new_tokens=3, seed=0)
    assert workload.decode_seconds > 0
    assert workload.question_tokens == 16
    num_images = len(workload.images)
    frames = workload.frames(num_images - 1, 3)
    assert [frame.pts_seconds for frame in frames] == [(num_images + k) / workload.fps for k in (-1, 0, 1)]
    assert frames[1].image is workload.images[0]
    assert {image.shape for image in workload.images} == {(64, 64, 3)}
    pairs = zip(workload.images, workload.images[1:], strict=False)
    assert all((a != b).any() for a, b in pairs)


def test_without_pyav_nothing_is_decoded(monkeypatch):
    generated = tuple(generate_images(3, 224))
    decoded, _ = decode_as_video(generated, fps=1.0)
    monkeypatch.setitem(sys.modules, "av", None)
    assert decode_as_video(generated, fps=1.0) == (generated, None)
    assert len(generated) == len(decoded)
    difference = np.abs(generated[5].astype(int) - decoded[5].astype(int)).mean()
    assert difference < 12  # the same pictures, but for H.264


def test_the_question_has_the_tokens_asked_for(model):
    question = make_question(model, question_tokens=16, new_tokens=3)
    assert len(model.chat.question_ids(question)) + len(model.video_end) == 16


def test_the_shortest_question_is_one_word(model):
    question = make_question(model, question_tokens=1, new_tokens=2)
    assert " " not in question
    assert count_question_tokens(model, question) > 1


def test_a_question_without_room_is_refused(model):
    with pytest.raises(CapacityError, match="lower question_tokens or new_tokens"):
        make_question(model, question_tokens=5000, new_tokens=2)


def test_a_model_without_stop_tokens_is_another_object(model):
    assert without_stop_tokens(model).chat.stop_token_ids == frozenset()
    assert model.chat.stop_token_ids

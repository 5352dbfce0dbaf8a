"""Options of a question are seen by an editor, and one that is none is refused in words."""

from __future__ import annotations

import inspect
import typing
from dataclasses import fields

import pytest

from hermes_stream import Session
from hermes_stream.stream import Engine, StreamHandle
from hermes_stream.stream.ask_options import SamplingOptions, WaitingOptions
from hermes_stream.stream.decoding import Sampling


def test_the_options_are_the_fields_of_sampling_with_their_types():
    declared = typing.get_type_hints(Sampling)
    expected = {one.name: declared[one.name] for one in fields(Sampling)}
    assert typing.get_type_hints(SamplingOptions) == expected
    assert set(WaitingOptions.__annotations__) == {*expected, "until", "on_done"}
    for ask in (Session.ask, StreamHandle.ask, StreamHandle.ask_when):
        (rest,) = [one for one in inspect.signature(ask).parameters.values() if one.kind is one.VAR_KEYWORD]
        assert rest.annotation in ("Unpack[SamplingOptions]", "Unpack[WaitingOptions]")


def test_a_name_that_is_none_is_refused_with_those_there_are(model):
    session, handle = Session(model), Engine(model).add()
    near = r"no option 'temprature'; did you mean 'temperature'\?.*max_new_tokens"
    for ask in (session.ask, handle.ask):
        with pytest.raises(TypeError, match=near):
            ask("what is it?", temprature=0.5)
        with pytest.raises(TypeError, match=r"no option 'colour'\. Those it has: max_new_tokens"):
            ask("what is it?", colour="red")
    with pytest.raises(TypeError, match="give wait_seconds, too"):
        session.ask("what is it?", until="is it there?")
    with pytest.raises(TypeError, match=near):
        session.ask("what is it?", wait_seconds=3.0, until="is it there?", temprature=0.5)
    with pytest.raises(TypeError, match=near):
        handle.ask_when("what is it?", wait_seconds=3.0, temprature=0.5)

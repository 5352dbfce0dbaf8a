"""What a newcomer would write first: it works, or the error says what to write instead."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.checkpoints import random_frames

from hermes_stream import Engine, FileSource, Frame, HermesPolicy, Session, WindowPolicy, load_model
from hermes_stream.errors import ModelError
from hermes_stream.filters import FrameDedup
from hermes_stream.models.loading.load import embedded_folder
from hermes_stream.policies import POLICIES
from hermes_stream.video.conversion import frames_from

QUESTION = "what is on screen now?"
CLIP = Path(__file__).parent / "data" / "media" / "h265_video.mp4"
PICTURES = np.stack([frame.image for frame in random_frames(5)])


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny")


def seen(session: Session) -> list[float]:
    """Times of the frames that wait."""
    return [frame.pts_seconds for frame in session._stream.intake.waiting]


SESSIONS = {
    "a name": lambda model: Session("tiny"),
    "a folder": lambda model: Session(embedded_folder("tiny")),
    "a policy by name": lambda model: Session(model, "window"),
    "by keyword": lambda model: Session(model, policy="hermes"),
    "with fields": lambda model: Session(model, policy="window:sink_tokens=4", budget_tokens=90),
    "a budget alone": lambda model: Session(model, budget_tokens=90),
    "a filter by name": lambda model: Session(model, filter="dtd"),
    "without a bound": lambda model: Session(model, "full"),
}


@pytest.mark.parametrize("make", SESSIONS.values(), ids=SESSIONS)
def test_sessions(tiny, make):
    with make(tiny) as session:
        session.observe(PICTURES, fps=1)
        assert str(session.ask(QUESTION)) == session.ask(QUESTION).text != ""
    assert "num_frames=5" in repr(session)
    assert "tiny" in repr(session.model)


def test_what_sessions_were_made_with(tiny):
    assert Session(tiny, budget_tokens=90).policy == HermesPolicy.best(90)
    window = Session(tiny, "window:sink_tokens=4", budget_tokens=90).policy
    assert window == WindowPolicy(budget_tokens=90, sink_tokens=4)
    assert Session(tiny, "window").policy.budget_tokens == tiny.card.default_budget_tokens


OBSERVED = {
    "an array with its rate": (lambda s: s.observe(PICTURES, fps=2), [0, 0.5, 1, 1.5, 2]),
    "an array with its times": (lambda s: s.observe(PICTURES, pts_seconds=range(5)), [0, 1, 2, 3, 4]),
    "a picture with its time": (lambda s: s.observe(PICTURES[0], pts_seconds=7.5), [7.5]),
    "pictures one by one": (lambda s: [s.observe(one, fps=1) for one in PICTURES[:3]], [0, 1, 2]),
    "a list of arrays": (lambda s: s.observe(list(PICTURES), fps=1), [0, 1, 2, 3, 4]),
    "an iterator": (lambda s: s.observe((one for one in PICTURES), fps=4), [0, 0.25, 0.5, 0.75, 1]),
    "Pillow": (lambda s: s.observe([Image.fromarray(one) for one in PICTURES], fps=1), [0, 1, 2, 3, 4]),
    "torch": (lambda s: s.observe(torch.from_numpy(PICTURES), fps=1), [0, 1, 2, 3, 4]),
    "torch, channels first": (
        lambda s: s.observe(torch.from_numpy(PICTURES).permute(0, 3, 1, 2), fps=1),
        [0, 1, 2, 3, 4],
    ),
    "frames": (lambda s: s.observe(random_frames(3)), [0, 1, 2]),
    "a path": (lambda s: s.observe(CLIP), None),
    "a path as text": (lambda s: s.observe(str(CLIP)), None),
    "a source": (lambda s: s.observe(FileSource(CLIP, fps=1)), None),
}


@pytest.mark.parametrize(("observe", "times"), OBSERVED.values(), ids=OBSERVED)
def test_what_is_observed(tiny, observe, times):
    session, plain = Session(tiny, chunk_frames=1000), Session(tiny, chunk_frames=1000)
    observe(session)
    if times is None:
        plain.observe(FileSource(CLIP, fps=1))
    else:
        assert seen(session) == times
        plain.observe(
            Frame(pts_seconds=at, image=one) for at, one in zip(times, PICTURES[: len(times)], strict=True)
        )
    assert torch.equal(session.next_token_logits(QUESTION), plain.next_token_logits(QUESTION))


STREAMS = {
    "by default": (lambda e: e.add(), Session),
    "a policy by name": (lambda e: e.add("window"), lambda m: Session(m, "window")),
    "with fields": (
        lambda e: e.add(policy="window:sink_tokens=4", budget_tokens=90),
        lambda m: Session(m, policy="window:sink_tokens=4", budget_tokens=90),
    ),
    "a budget alone": (lambda e: e.add(budget_tokens=90), lambda m: Session(m, budget_tokens=90)),
    "a filter by name": (lambda e: e.add(filter="dtd"), lambda m: Session(m, filter="dtd")),
    "a policy": (
        lambda e: e.add(WindowPolicy(budget_tokens=90)),
        lambda m: Session(m, WindowPolicy(budget_tokens=90)),
    ),
}


@pytest.mark.parametrize(("add", "make"), STREAMS.values(), ids=STREAMS)
def test_streams_of_an_engine_are_made_as_sessions_are(tiny, add, make):
    engine, session = Engine(tiny), make(tiny)
    with add(engine) as stream:
        for one in (session, stream):
            one.observe(PICTURES, fps=1)
        assert stream.stream.policy == session.policy
        assert stream.ask(QUESTION).text == str(session.ask(QUESTION)) != ""
        assert "num_frames=5" in repr(stream)
        assert "num_streams=1" in repr(engine)
    assert engine.streams == ()


@pytest.mark.parametrize(("observe", "times"), OBSERVED.values(), ids=OBSERVED)
def test_a_stream_of_an_engine_observes_what_a_session_does(tiny, observe, times):
    session, stream = Session(tiny, chunk_frames=1000), Engine(tiny).add(chunk_frames=1000)
    for one in (session, stream):
        observe(one)
    waiting = stream.stream.intake.waiting
    assert [frame.pts_seconds for frame in waiting] == seen(session)
    assert all(
        np.array_equal(ours.image, theirs.image)
        for ours, theirs in zip(waiting, session._stream.intake.waiting, strict=True)
    )


def test_an_engine_of_a_name():
    assert Engine("tiny").add().ask is not None
    assert "tiny" in repr(Engine(embedded_folder("tiny")))


def test_pictures_of_a_file_are_shrunk_at_the_rim(tiny):
    session = Session(tiny, chunk_frames=1000)
    session.observe(CLIP, max_image_pixels=40 * 40)
    assert all(
        frame.image.shape[0] * frame.image.shape[1] <= 1600 for frame in session._stream.intake.waiting
    )


def test_pictures_of_other_libraries():
    bgr = PICTURES[0][..., ::-1]
    assert np.array_equal(Frame.from_bgr(bgr, 1.0).image, PICTURES[0])
    assert np.array_equal(Frame.from_pil(Image.fromarray(PICTURES[0]), 1.0).image, PICTURES[0])
    assert Frame.from_pil(Image.new("L", (4, 6)), 1.0).image.shape == (6, 4, 3)


ERRORS = {
    "no time": (lambda s: s.observe(PICTURES), "give observe fps="),
    "both": (lambda s: s.observe(PICTURES, fps=1, pts_seconds=[1]), "exclude each other"),
    "too few times": (lambda s: s.observe(PICTURES, pts_seconds=[1, 2]), "5 pictures and 2 pts_seconds"),
    "too many times": (lambda s: s.observe(PICTURES[:1], pts_seconds=[1, 2]), "1 pictures and 2 pts_seconds"),
    "floats": (lambda s: s.observe(PICTURES / 255, fps=1), r"must be uint8.*astype\(numpy.uint8\)"),
    "grey": (lambda s: s.observe(PICTURES[..., 0], fps=1), "grey ones become RGB"),
    "alpha": (lambda s: s.observe(np.zeros((8, 8, 4), np.uint8), fps=1), "alpha channel is cut off"),
    "a number": (lambda s: s.observe(3), "observe takes Frame"),
    "a dict": (lambda s: s.observe({"a": PICTURES[0]}), "observe takes Frame"),
    "several paths": (lambda s: s.observe([CLIP, CLIP]), "one path, not several"),
    "several names of files": (lambda s: s.observe([str(CLIP), str(CLIP)]), "one path, not several"),
    "options with letters": (lambda s: s.ask(QUESTION, {"A": "x", "B": "y"}), r"list\(options.values\(\)\)"),
    "an option twice": (lambda s: s.ask(QUESTION, ["x", "y", "x"]), "stand there once"),
    "one stop text": (lambda s: s.ask(QUESTION, stop="blue"), "stop must be a list"),
    "a stop that is no text": (lambda s: s.ask(QUESTION, stop=[5]), "stop must be a list"),
    "half a token": (lambda s: s.ask(QUESTION, max_new_tokens=2.5), "whole number of at least 1"),
    "no policy": (lambda s: Session(s.model, "windows"), f"'windows' is none of {', '.join(POLICIES)}"),
    "no field": (lambda s: Session(s.model, "window:sinks=4"), "fields: sink_tokens"),
    "no filter": (lambda s: Session(s.model, filter="dtp"), "'dtp' is none of dedup, dtd, fluxmem"),
    "two budgets": (lambda s: Session(s.model, WindowPolicy(), budget_tokens=9), "has its own budget"),
    "a budget for nothing": (lambda s: Session(s.model, "full", budget_tokens=9), "keeps everything"),
    "no filter of a stream": (lambda s: Engine(s.model).add(filter="dtp"), "'dtp' is none of dedup, dtd"),
    "no policy of a stream": (lambda s: Engine(s.model).add("windows"), "'windows' is none of"),
    "two budgets of a stream": (
        lambda s: Engine(s.model).add(WindowPolicy(), budget_tokens=9),
        "has its own budget",
    ),
    "a class of a filter": (lambda s: Session(s.model, filter=FrameDedup), "filter must be a TokenFilter"),
    "no time in an engine": (lambda s: Engine(s.model).add().observe(PICTURES), "give observe fps="),
    "pixels of an array": (
        lambda s: s.observe(PICTURES, fps=1, max_image_pixels=9),
        "max_image_pixels is for a path",
    ),
    "a class": (lambda s: Session(s.model, WindowPolicy), "policy must be a MemoryPolicy"),
}


@pytest.mark.parametrize(("wrong", "words"), ERRORS.values(), ids=ERRORS)
def test_errors_say_what_to_write_instead(tiny, wrong, words):
    session = Session(tiny)
    session.observe(random_frames(2))
    before = session.next_token_logits(QUESTION)
    with pytest.raises(ValueError, match=words):
        wrong(session)
    assert torch.equal(session.next_token_logits(QUESTION), before)


def test_an_answer_may_be_awaited_piece_by_piece(tiny):
    session = Session(tiny)
    session.observe(random_frames(4))

    async def read() -> list[str]:
        return [piece async for piece in session.ask(QUESTION)]

    assert "".join(asyncio.run(read())) == session.ask(QUESTION).text


@pytest.mark.parametrize("policy", ["hermes", "recent_n", "rekv", "full"])
def test_a_fork_goes_its_own_way(tiny, policy):
    frames = random_frames(40)
    session, alone = Session(tiny, policy, chunk_frames=4), Session(tiny, policy, chunk_frames=4)
    session.observe(frames[:22])
    fork = session.fork()
    fork.observe(random_frames(10, start=22, seed=9))
    assert fork.ask(QUESTION).text
    session.observe(frames[22:])
    alone.observe(frames)
    assert torch.equal(session.next_token_logits(QUESTION), alone.next_token_logits(QUESTION))
    assert not torch.equal(fork.next_token_logits(QUESTION), alone.next_token_logits(QUESTION))
    assert fork.model is session.model
    again = Session(tiny, policy, chunk_frames=4)
    again.observe([*frames[:22], *random_frames(10, start=22, seed=9)])
    assert again.ask(QUESTION).text
    assert torch.equal(fork.next_token_logits(QUESTION), again.next_token_logits(QUESTION))


def test_dtypes_may_be_torchs():
    assert load_model("tiny", dtype=torch.bfloat16).layout.dtype is torch.bfloat16


class Processor:
    """As much of a processor as is there without torchvision: it writes the files of its checkpoint."""

    def save_pretrained(self, folder: Path) -> None:
        for path in embedded_folder("tiny").iterdir():
            if path.suffix in (".json", ".jinja") and path.name != "config.json":
                (Path(folder) / path.name).write_bytes(path.read_bytes())


@pytest.mark.parametrize("processor", [Processor(), None], ids=["with its processor", "from its folder"])
def test_a_model_in_hand_is_shared_and_given_back(tiny, processor):
    from transformers import LlavaOnevisionForConditionalGeneration

    own = LlavaOnevisionForConditionalGeneration.from_pretrained(embedded_folder("tiny"), dtype=torch.float32)
    ids = torch.tensor([[5, 6, 7]])
    before = own(input_ids=ids).logits
    model = load_model(own, processor)
    weights = own.get_input_embeddings().weight
    assert model.embed([5]).data_ptr() or weights is model.decoder.embed_tokens.weight
    ours, theirs = Session(model), Session(tiny)
    for session in (ours, theirs):
        session.observe(random_frames(6))
    torch.testing.assert_close(ours.next_token_logits(QUESTION), theirs.next_token_logits(QUESTION))
    model.close()
    model.close()
    assert torch.equal(own(input_ids=ids).logits, before)


@pytest.mark.parametrize(
    ("broken", "words"),
    [("weight", "are broken"), ("constant", "computes no numbers")],
)
def test_a_model_in_hand_that_computes_nonsense_is_refused_and_given_back(broken, words):
    from transformers import LlavaOnevisionForConditionalGeneration

    own = LlavaOnevisionForConditionalGeneration.from_pretrained(embedded_folder("tiny"), dtype=torch.float32)
    before = own.config.text_config._attn_implementation
    with torch.no_grad():
        if broken == "constant":
            own.model.language_model.norm.variance_epsilon = math.nan
        else:
            own.get_output_embeddings().weight[0, 0] = math.nan
    with pytest.raises(ModelError, match=words):
        load_model(own)
    assert own.config.text_config._attn_implementation == before


def test_a_processor_goes_with_a_model():
    with pytest.raises(ValueError, match="leave it out for a name"):
        load_model("tiny", Processor())


def shown(what: object, **given: object) -> list[Frame]:
    options = {"fps": None, "pts_seconds": None, "newest_seconds": None, **given}
    return list(frames_from(what, **options))


def test_frames_keep_their_own_times_and_arrays_get_theirs():
    own = Frame(pts_seconds=7.0, image=PICTURES[0])
    assert [one.pts_seconds for one in shown([own, PICTURES[1]], pts_seconds=[1.0, 8.0])] == [7.0, 8.0]
    assert [one.pts_seconds for one in shown(PICTURES[:2], fps=2.0)] == [0.0, 0.5]
    assert [one.pts_seconds for one in shown(PICTURES[:2], fps=2.0, newest_seconds=0.0)] == [0.5, 1.0]
    with pytest.raises(ValueError, match="shorter"):
        shown(iter(PICTURES[:2]), pts_seconds=[1.0])
    with pytest.raises(ValueError, match="fps is"):
        shown([own], fps=0.0)


def test_channels_are_where_there_are_three():
    last, first = torch.zeros(3, 5, 3, dtype=torch.uint8), torch.zeros(2, 3, 5, 4, dtype=torch.uint8)
    last[0, 0] = torch.tensor([1, 2, 3])
    assert shown(last, fps=1.0)[0].image[0, 0].tolist() == [1, 2, 3]
    assert [one.image.shape for one in shown(first, fps=1.0)] == [(5, 4, 3)] * 2
    with pytest.raises(ValueError, match="must be RGB"):
        shown(np.zeros((0, 5, 3), np.uint8), fps=1.0)
    with pytest.raises(ValueError, match="must be RGB"):
        shown(np.zeros((0, 4, 5, 3), np.uint8), fps=1.0)
    grey = Image.new("L", (4, 6), 9)
    assert shown(grey, fps=1.0)[0].image.tolist() == np.full((6, 4, 3), 9).tolist()

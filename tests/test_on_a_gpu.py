"""What only a GPU does, and that it answers as a processor; where there is none, on simulated ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from tests.checkpoints import random_frames
from tests.families import FAMILIES, QUESTION, pictures
from tests.simulated.driver import simulated_gpus
from torch import nn
from torch.nn import functional as F
from torch.nn.attention.bias import causal_lower_right

from hermes_stream import Engine, HermesPolicy, Session, load_model, records
from hermes_stream.attention_kernels import _serves, call_of, kernels_for, kernels_told, read
from hermes_stream.models import patch_tower
from hermes_stream.models.loading.towers import fill_gates
from hermes_stream.packed_kernel import packed_kernel
from hermes_stream.policies import POLICIES
from hermes_stream.stream import decoding
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.vision_graphs import VisionGraphs
from hermes_stream.synthetic.world import generate_world

GPU = torch.device("cuda", 0)
IS_REAL = torch.cuda.is_available()
on_a_real_one = pytest.mark.skipif(not IS_REAL, reason="needs a real GPU")
QUESTIONS = ("what is on screen now?", "was there a red circle?", "what came first?")
MODELS = pytest.mark.parametrize("name", ["tiny", "tiny-qwen"])


@pytest.fixture(autouse=True)
def gpus(monkeypatch):
    if IS_REAL:
        yield
        return
    with simulated_gpus(monkeypatch, count=2) as gpus:
        yield gpus
    assert not gpus.faults


def shown(model, seed=5, count=60):
    return list(generate_world(seed, count).frames(model.card.default_fps))


def logits_of(session, frames):
    session.observe(frames)
    return torch.stack([session.next_token_logits(question).cpu() for question in QUESTIONS])


@MODELS
def test_answers_are_those_of_a_processor(name):
    models = [load_model(name, device=device, dtype="float32") for device in ("cpu", "cuda:0")]
    sessions = [Session(model, HermesPolicy.best(60)) for model in models]
    for part in (slice(0, 23), slice(23, 60)):
        expected, found = (
            logits_of(one, shown(model)[part]) for one, model in zip(sessions, models, strict=True)
        )
        torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)
    answers = [[one.ask(question).text for question in QUESTIONS] for one in sessions]
    assert answers[0] == answers[1]


@MODELS
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_captured_forwards_are_those_that_run_one_by_one(name, dtype):
    model = load_model(name, device="cuda", dtype=dtype)
    captured = Session(model, HermesPolicy.best(60))
    plain = Session(model, HermesPolicy.best(60), executor=Executor(model))
    expected, found = (logits_of(one, shown(model)) for one in (plain, captured))
    near = 1e-3 if dtype == "float32" else 0.3
    torch.testing.assert_close(found, expected, rtol=near, atol=near)


@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "hermes_best"])
def test_every_memory_answers_as_on_a_processor(policy, tmp_path):
    """Also one that was saved."""
    budget, found = None if policy == "full" else 40, []
    for device in ("cpu", "cuda:0"):
        model = load_model("tiny", device=device, dtype="float32")
        session = Session(model, policy, budget_tokens=budget, chunk_frames=8, executor=Executor(model))
        logits = logits_of(session, shown(model, count=21))
        session.observe(shown(model, count=30)[21:])
        saved = Session.restore(
            model, session.save(tmp_path / "memory.safetensors"), executor=Executor(model)
        )
        logits = [*logits, saved.next_token_logits(QUESTIONS[1])]
        moments = [one.seconds for one in session.evidence(QUESTIONS[1]).moments()]
        found.append((torch.stack(logits), moments))
    near = 0.5 if IS_REAL else 2e-2  # where sums are rounded otherwise, a token may be kept for another
    torch.testing.assert_close(found[1][0], found[0][0], rtol=near, atol=near)
    assert IS_REAL or found[0][1] == found[1][1]


@MODELS
@pytest.mark.parametrize(
    ("per_block", "dtype"),
    [
        (1, "float32"),
        (4, "bfloat16"),
        pytest.param(4, "float32", marks=pytest.mark.long),
        pytest.param(1, "bfloat16", marks=pytest.mark.long),
    ],
)
def test_streams_of_an_engine_answer_as_each_alone(name, per_block, dtype):
    model = load_model(name, device="cuda", dtype=dtype)
    frames, expected = [shown(model, seed, 30 + seed) for seed in range(4 if IS_REAL else 3)], []
    for own in frames:
        session = Session(model, HermesPolicy.best(60), guidance_from_questions=False)
        session.observe(own)
        expected.append([session.ask(question).text for question in QUESTIONS])
    engine = Engine(model, streams_per_block=per_block)
    handles = [engine.add(HermesPolicy.best(60)) for _ in frames]
    for handle, own in zip(handles, frames, strict=True):
        handle.observe(own)
    engine.run()
    answers = [[handle.ask(question) for question in QUESTIONS] for handle in handles]
    engine.run()
    pairs = [
        (one.text, text)
        for own, texts in zip(answers, expected, strict=True)
        for one, text in zip(own, texts, strict=True)
    ]
    others = sum(one != other for one, other in pairs)
    assert others <= (dtype == "bfloat16")  # which rounds by what shares a product


@pytest.mark.skipif(IS_REAL and torch.cuda.device_count() < 2, reason="needs two GPUs")
@MODELS
def test_a_model_on_another_gpu_is_captured_there(name):
    """Whichever is current; the first is when sessions begin."""
    sessions = [Session(load_model(name, device=f"cuda:{k}"), HermesPolicy.best(60)) for k in (0, 1)]
    expected, found = (logits_of(one, shown(one.model)) for one in sessions)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    graphs = [one for own in sessions[1]._executor._graphs._forwards.values() for one in own.values()]
    assert graphs
    assert all(one._replay != one._compute for one in graphs)
    assert torch.cuda.current_device() == 0


def test_memory_on_the_device_is_constant():
    model = load_model("tiny", device="cuda", dtype="bfloat16")
    session, held = Session(model, HermesPolicy.best(60)), []
    for k in range(12):
        session.observe(random_frames(32, seed=k, start=32.0 * k))
        session.ask(QUESTIONS[k % 3], max_new_tokens=3).text  # noqa: B018 - reads it
        torch.cuda.synchronize()
        held.append(torch.cuda.memory_allocated())
    assert max(held[4:]) - min(held[4:]) < 2**16, held  # what waits for its next use differs a little


def test_eight_bits_answer_alike():
    model = load_model("tiny", device="cuda", dtype="bfloat16")
    plain, small = (Session(model, HermesPolicy.best(60), kv_bits=bits) for bits in (None, 8))
    expected, found = (logits_of(one, shown(model)) for one in (plain, small))
    assert (expected - found).abs().mean() < 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("count", "held"), [(1, 61), (5, 61), (40, 40), (40, 323)])
def test_every_form_reads_what_plain_attention_reads(count, held, dtype):
    """Also those that serve behind the first: each that torch says can serve is tried."""
    where = {"device": GPU, "dtype": dtype}
    queries, (keys, values) = torch.randn(1, 8, count, 64, **where), torch.randn(2, 1, 2, held, 64, **where)
    mask = torch.arange(held, device=GPU) <= torch.arange(held - count, held, device=GPU)[:, None]
    plain = [one.double() for one in (queries, keys, values)]
    expected = F.scaled_dot_product_attention(*plain, attn_mask=mask, scale=0.1, enable_gqa=True)
    calls = [call_of(queries, keys, values, causal_lower_right(count, held) if count > 1 else None)]
    calls += [call_of(queries, keys, values, mask, is_fixed=fixed) for fixed in (False, True)]
    near = 2e-2 if dtype == torch.bfloat16 else 1e-4
    for call in calls:
        for kernel in kernels_for(call.form, queries.device):
            if _serves(kernel, call):
                found = read(call, kernel, scaling=0.1).double()
                torch.testing.assert_close(found, expected, rtol=near, atol=near)


def test_no_form_falls_to_plain_products():
    told = kernels_told(GPU)
    assert not any("math" in kernel or "torch" in kernel for kernel in told.values()), told


@pytest.mark.parametrize("head_dim", [32, 64, 128])
def test_many_streams_are_read_by_one_kernel(head_dim):
    assert packed_kernel(GPU, torch.bfloat16, head_dim) is not None


def test_windows_of_pictures_are_read_by_one_kernel():
    for head_dim in (64, 80, 96):
        attention = SimpleNamespace(head_dim=head_dim)
        blocks = [SimpleNamespace(attn=attention)]
        tower = SimpleNamespace(device=GPU, dtype=torch.bfloat16, blocks=blocks)
        assert patch_tower._window_kernel(tower) is not None


def test_pictures_are_encoded_by_a_graph_as_without(monkeypatch):
    model = load_model("tiny", device="cuda", dtype="bfloat16")
    graphs, pixels = VisionGraphs(model), model.prepare(random_frames(9))
    for k in range(6):
        pixels.values.copy_(torch.randn_like(pixels.values))
        found, expected = graphs.encode(pixels), model.encode_in_parts(pixels)
        torch.testing.assert_close(found.tokens, expected.tokens, rtol=0.05, atol=0.05)
        if k == 3:  # from here on a graph alone makes them
            monkeypatch.setattr(graphs, "_captured", None)
    assert any(graphs._graphs.values())


@on_a_real_one
@torch.no_grad()
def test_gates_are_as_wide_as_products_want_them():
    gated = nn.ModuleDict({name: nn.Linear(8, 12) for name in ("gate_proj", "up_proj")})
    gated["down_proj"] = nn.Linear(12, 8)
    gated.to(GPU, torch.bfloat16)
    x = torch.randn(5, 8, device=GPU, dtype=torch.bfloat16)

    def computed() -> torch.Tensor:
        return gated["down_proj"](F.silu(gated["gate_proj"](x)) * gated["up_proj"](x))

    before = computed()
    fill_gates(nn.ModuleList([gated]))
    assert gated["gate_proj"].out_features == gated["down_proj"].in_features == 16
    torch.testing.assert_close(computed(), before, rtol=0.02, atol=0.02)


@contextmanager
def counting_waits() -> Iterator[list[str]]:
    """Note how often the host, which hands over work ahead, waits for what the device does."""
    waits = list[str]()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield waits
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits += [str(one.message) for one in warned if "synchronizing" in str(one.message)]


@MODELS
def test_a_chunk_waits_for_nothing(name):
    model = load_model(name, device="cuda", dtype="bfloat16")
    session, frames = Session(model, HermesPolicy.best(60), chunk_frames=8), shown(model, count=200)
    for first in range(0, 160, 8):
        session.observe(frames[first : first + 8])
    session.flush()
    with counting_waits() as waits:
        session.observe(frames[160:168])
        session.flush()
    assert not waits
    assert session.stats.num_compressions > 10


def test_a_question_waits_for_its_tokens_alone():
    """For each, for its end, and once for the clock; never for all there is."""
    model = load_model("tiny", device="cuda", dtype="bfloat16")
    session = Session(model, HermesPolicy.best(60), chunk_frames=8)
    session.observe(shown(model)[:-3])
    session.ask(QUESTIONS[0]).finish()
    session.observe(shown(model)[-3:])  # they wait for their chunk, and are folded in
    with counting_waits() as waits:
        answer = session.ask(QUESTIONS[0])
        answer.finish()
    assert len(waits) <= len(answer.token_ids) + 2, waits
    assert not any(one.endswith(": synchronize") for one in waits)
    assert 0 < answer.ttft_seconds < answer.ttft_with_pending_seconds


@pytest.mark.parametrize("per_block", [1, 4])
def test_the_tokens_of_many_answers_are_read_together(per_block):
    """Where streams share a block, and where each has its own and its own graph."""
    model = load_model("tiny", device="cuda", dtype="bfloat16")
    engine = Engine(model, streams_per_block=per_block)
    handles = [engine.add(HermesPolicy.best(60), chunk_frames=8) for _ in range(4)]
    for handle in handles:
        handle.observe(shown(model))
    engine.run()
    with counting_waits() as waits:
        answers = [handle.ask(QUESTIONS[0]) for handle in handles]
        engine.run()
    num_tokens = max(len(one.token_ids) for one in answers) + 1
    reads = [one for one in waits if not one.endswith("synchronize")]
    assert num_tokens > 2
    # a block's first questions may not fit one shape
    assert len(reads) <= num_tokens + (per_block > 1), waits


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_answers_as_on_a_processor(name, tmp_path):
    """By captured forwards, and a chunk waits for nothing but for how much text its plan brings along."""
    family, found = FAMILIES[name], []
    family.save(tmp_path)
    frames = pictures(48, size=family.size)
    for device in ("cpu", "cuda:0"):
        model = load_model(tmp_path, device=device, dtype="float32")
        session = Session(model, HermesPolicy.paper(40), chunk_frames=4)
        session.observe(frames[:44])
        session.flush()
        with counting_waits() if device != "cpu" else nullcontext([]) as waits:
            session.observe(frames[44:])
            session.flush()
        found.append(session.next_token_logits(QUESTION))
        assert session.stats.num_compressions > 2
    assert len(waits) == (2 if model.card.text_tokens_per_temporal_patch else 0), waits
    near = 1e-2 if IS_REAL else 1e-4
    torch.testing.assert_close(found[1], found[0], rtol=near, atol=near)
    assert any(session._executor._vision._graphs.values())


@pytest.mark.skipif(IS_REAL, reason="a real one has float64")
@pytest.mark.parametrize("name", FAMILIES)
def test_a_device_without_float64_does_all(name, gpus, tmp_path, monkeypatch):
    """As Apple's: also what is chosen by chance, and what an answer rests on."""
    family, gpus.has_float64 = FAMILIES[name], False
    for module in (records, decoding):
        monkeypatch.setattr(module, "widest_float", lambda _: torch.float32)
    family.save(tmp_path)
    model = load_model(tmp_path, device="cuda:0", dtype="float32")
    for make in (HermesPolicy, HermesPolicy.paper, POLICIES["random"], POLICIES["stratified"]):
        session = Session(model, make(budget_tokens=40), chunk_frames=4)
        session.observe(pictures(24, size=family.size))
        answer = session.ask(QUESTION, max_new_tokens=2, temperature=1.0, top_p=0.9)
        assert answer.text is not None
        assert session.evidence(QUESTION).patches

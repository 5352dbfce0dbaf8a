"""Which attention kernel reads what; kernels of a GPU are stood in for by plain products."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.backends import cuda
from torch.nn import functional as F
from torch.nn.attention.bias import causal_lower_right

from hermes_stream import attention_kernels
from hermes_stream.attention_kernels import (
    CUDNN,
    EFFICIENT,
    FLASH,
    Call,
    Form,
    Heads,
    agrees,
    attend,
    call_of,
    chosen,
    grouped,
    kernels_for,
    kernels_told,
    read,
)

ATEN, HOPPER, AMPERE = torch.ops.aten, (9, 0), (8, 0)
GPU = torch.device("cuda", 0)
ASKS = {FLASH: "flash", EFFICIENT: "efficient", CUDNN: "cudnn"}


@pytest.fixture
def answers(monkeypatch):
    """Give torch's answers to whether each kernel can serve, and note what it was asked of."""

    def give(*serving, capability=HOPPER):
        asked = []
        for kernel, name in ASKS.items():

            def ask(params, kernel=kernel):
                asked.append((kernel, params))
                return kernel in serving

            monkeypatch.setattr(cuda, f"can_use_{name}_attention", ask)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
        monkeypatch.setattr(attention_kernels, "agrees", lambda *_: True)
        return asked

    return give


def random(count: int, *, heads: int = 6, held: int = 11, dtype: torch.dtype = torch.float32):
    shapes = ((1, heads, count, 8), (1, 2, held, 8), (1, 2, held, 8))
    return [torch.randn(*shape, dtype=dtype) for shape in shapes]


def seen(count: int, held: int) -> torch.Tensor:
    return torch.arange(held) <= torch.arange(held - count, held)[:, None]


def test_each_form_has_its_kernels(answers):
    answers()
    assert kernels_for(Form.CAUSAL, GPU) == kernels_for(Form.ONE, GPU) == (FLASH, EFFICIENT)
    assert kernels_for(Form.MASKED, GPU) == (EFFICIENT,)
    assert kernels_for(Form.FIXED, GPU) == (CUDNN, EFFICIENT)
    answers(capability=AMPERE)
    assert kernels_for(Form.FIXED, GPU) == (EFFICIENT,)
    assert not attention_kernels.has_fast_masks(torch.device("cpu"))


def test_no_form_of_changing_length_is_planned_for():
    assert all(CUDNN not in kernels_for(form, GPU) for form in Form if form is not Form.FIXED)


@pytest.mark.parametrize(
    ("form", "serving", "expected"),
    [
        (Form.CAUSAL, {FLASH, EFFICIENT, CUDNN}, FLASH),
        (Form.CAUSAL, {EFFICIENT, CUDNN}, EFFICIENT),
        (Form.ONE, {FLASH, CUDNN}, FLASH),
        (Form.ONE, {CUDNN}, None),
        (Form.MASKED, {FLASH, EFFICIENT, CUDNN}, EFFICIENT),
        (Form.FIXED, {EFFICIENT, CUDNN}, CUDNN),
        (Form.FIXED, {FLASH}, None),
    ],
)
def test_the_first_that_torch_says_can_serve_reads(form, serving, expected, answers):
    answers(*serving)
    count = 1 if form is Form.ONE else 5
    added = torch.zeros(count, 11) if form in (Form.MASKED, Form.FIXED) else None
    # the capability is that of the fixture, for any device
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_kernels, "has_fast_masks", lambda _: True)
        assert chosen(Call(form, *random(count), added)) is expected


def test_flash_takes_no_heads_of_odd_width(answers):
    answers(FLASH)
    queries, keys, values = (one[..., :6] for one in random(1))
    assert chosen(Call(Form.ONE, queries, keys, values)) is None


def test_torch_is_asked_of_what_will_be_read(answers):
    asked = answers()
    chosen(call_of(*random(5), seen(5, 11)))
    ((kernel, params),) = asked
    assert kernel is EFFICIENT
    assert not params.enable_gqa  # query heads stand where heads do
    assert params.query.shape == (2, 3, 5, 8)
    assert params.key.shape == params.value.shape == (2, 3, 11, 8)
    assert params.attn_mask.shape == (2, 3, 5, 11)
    asked.clear()
    chosen(call_of(*random(1), None))
    assert [(kernel, params.enable_gqa, params.attn_mask) for kernel, params in asked] == [
        (FLASH, True, None),
        (EFFICIENT, False, None),
    ]


def test_shared_heads_are_read_where_they_lie():
    queries, keys, values = random(5)
    own = grouped(Call(Form.ONE, queries, keys, values))
    assert own.keys.data_ptr() == keys.data_ptr()
    assert own.keys.stride(1) == own.values.stride(1) == 0
    found = F.scaled_dot_product_attention(own.queries, own.keys, own.values)
    expected = F.scaled_dot_product_attention(queries, keys, values, enable_gqa=True)
    torch.testing.assert_close(found.reshape(expected.shape), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("is_boolean", [True, False])
def test_rows_of_masks_begin_where_kernels_want_them(dtype, is_boolean):
    queries, keys, values = random(5, dtype=dtype)
    visible = seen(5, 11)
    mask = visible if is_boolean else torch.zeros(5, 11, dtype=dtype).masked_fill(~visible, -torch.inf)
    added = call_of(queries, keys, values, mask).added
    assert added.dtype == dtype
    assert added.stride(0) * dtype.itemsize % 16 == added.data_ptr() % 16 == 0
    found, expected = (
        F.scaled_dot_product_attention(queries, keys, values, attn_mask=one, enable_gqa=True)
        for one in (added, visible)
    )
    assert torch.equal(found, expected)
    if is_boolean:
        assert added.isfinite().all()  # cuDNN wants it so
    assert call_of(queries, keys, values, added).added is added


def plain(queries, keys, values, added, is_causal, scale):
    mask = seen(queries.shape[2], keys.shape[2]) if is_causal else added
    shares = queries.shape[1] != keys.shape[1]
    return F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, scale=scale, enable_gqa=shares
    )


@pytest.fixture
def stand_ins(monkeypatch):
    """Let plain products do what the kernels of a GPU are called for."""

    def flash(queries, keys, values, *, is_causal, scale):
        return (plain(queries, keys, values, None, is_causal, scale),)

    def cudnn(queries, keys, values, added, wants_sums, *, scale):
        assert not wants_sums
        assert added.ndim == 4
        return (plain(queries, keys, values, added, False, scale),)

    def efficient(queries, keys, values, *, bias, custom_mask_type, dropout_p, scale, **nothing):
        assert not any(nothing.values())
        assert dropout_p == 0
        if bias is not None:
            assert bias.shape == (queries.shape[0], queries.shape[2], queries.shape[1], keys.shape[1])
        heads_first = [one.transpose(1, 2) for one in (queries, keys, values)]
        assert heads_first[0].shape[:2] == heads_first[1].shape[:2]  # it knows no shared heads
        return (plain(*heads_first, bias, custom_mask_type == 2, scale).transpose(1, 2),)

    monkeypatch.setattr(ATEN, "_scaled_dot_product_flash_attention", flash)
    monkeypatch.setattr(ATEN, "_scaled_dot_product_cudnn_attention", cudnn)
    monkeypatch.setattr(ATEN, "_efficient_attention_forward", efficient)


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("heads", [6, 2])
@pytest.mark.parametrize("count", [1, 5, 11])
def test_every_kernel_is_told_the_same(heads, count):
    tensors = random(count, heads=heads)
    mask = seen(count, 11)
    expected = F.scaled_dot_product_attention(*tensors, attn_mask=mask, scale=0.3, enable_gqa=True)
    calls = [(kernel, call_of(*tensors, mask, is_fixed=True)) for kernel in (CUDNN, EFFICIENT)]
    causal = call_of(*tensors, causal_lower_right(count, 11))
    calls += [(kernel, causal) for kernel in (FLASH, EFFICIENT)]
    if count == 1:
        calls += [(kernel, call_of(*tensors, None)) for kernel in (FLASH, EFFICIENT)]
    for kernel, call in calls:
        torch.testing.assert_close(read(call, kernel, scaling=0.3), expected)


@pytest.mark.usefixtures("stand_ins")
def test_a_token_of_each_stream_is_read_under_a_mask():
    queries, keys = torch.randn(3, 2, 4, 8), torch.randn(3, 2, 11, 8)
    mask = (torch.arange(11) < torch.tensor([[11], [4], [7]]))[:, None, None]
    call = call_of(queries, keys, keys, mask)
    expected = F.scaled_dot_product_attention(queries, keys, keys, attn_mask=mask, scale=0.3)
    torch.testing.assert_close(read(call, EFFICIENT, scaling=0.3), expected)


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_kernel_that_reads_as_plain_products_do_agrees(form, dtype):
    here = torch.device("cpu")
    kernels = (CUDNN, EFFICIENT) if form in (Form.MASKED, Form.FIXED) else (FLASH, EFFICIENT)
    assert all(agrees.__wrapped__(kernel, form, Heads(here, dtype, 6, 2, 8)) for kernel in kernels)


@pytest.mark.usefixtures("stand_ins")
def test_a_kernel_that_fails_or_reads_wrongly_is_left_for_what_torch_chooses(monkeypatch, caplog):
    def upper_left(queries, keys, values, *, is_causal, scale):
        return (F.scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True),)

    def failing(*_, **__):
        raise RuntimeError("no kernel image")

    like = (Form.CAUSAL, Heads(torch.device("cpu"), torch.float32, 6, 2, 8))
    monkeypatch.setattr(ATEN, "_scaled_dot_product_flash_attention", upper_left)
    assert not agrees.__wrapped__(FLASH, *like)
    assert "flash reads a chunk or a question wrongly on cpu, torch chooses" in caplog.text
    monkeypatch.setattr(ATEN, "_scaled_dot_product_flash_attention", failing)
    assert not agrees.__wrapped__(FLASH, *like)
    assert "no kernel image" in caplog.text
    monkeypatch.setattr(attention_kernels, "_serves", lambda *_: True)
    monkeypatch.setattr(attention_kernels, "agrees", lambda kernel, *_: kernel is EFFICIENT)
    assert chosen(call_of(*random(5), causal_lower_right(5, 11))) is EFFICIENT


def test_a_trial_without_memory_is_made_again(monkeypatch):
    def starved(*_, **__):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(ATEN, "_scaled_dot_product_flash_attention", starved)
    with pytest.raises(torch.OutOfMemoryError):
        agrees(FLASH, Form.ONE, Heads(torch.device("cpu"), torch.float32, 6, 2, 8))


def test_a_processor_is_asked_as_ever():
    tensors, mask = random(5), seen(5, 11)
    expected = F.scaled_dot_product_attention(*tensors, attn_mask=mask, scale=0.3, enable_gqa=True)
    assert torch.equal(attend(*tensors, mask, scaling=0.3, is_fixed=True), expected)


@pytest.mark.parametrize("count", [1, 5])
def test_a_gpu_calls_the_kernel_by_its_name(count, answers):
    """By shapes alone: tensors of a GPU that is not there hold no numbers."""
    answers(FLASH, EFFICIENT, CUDNN)
    mask = None if count == 1 else causal_lower_right(count, 64)
    with FakeTensorMode(), torch.profiler.profile(acc_events=True) as profile:
        queries = torch.empty(1, 6, count, 8, dtype=torch.bfloat16, device=GPU)
        keys = torch.empty(1, 2, 64, 8, dtype=torch.bfloat16, device=GPU)
        assert attend(queries, keys, keys, mask, scaling=0.3).shape == queries.shape
    called = {event.key for event in profile.key_averages()}
    assert "aten::_scaled_dot_product_flash_attention" in called
    assert "aten::scaled_dot_product_attention" not in called


def test_what_runs_is_told(answers, monkeypatch):
    monkeypatch.setattr(attention_kernels, "has_fast_masks", lambda _: True)
    answers(FLASH, CUDNN, EFFICIENT)
    here = torch.device("cpu")
    assert kernels_told(here) == {
        "a chunk or a question": "flash",
        "a token of an answer": "flash",
        "texts under a mask": "efficient",
        "captured text under a mask": "cudnn",
    }
    answers(EFFICIENT)
    assert set(kernels_told(here).values()) == {"efficient"}
    answers()
    assert all(told.endswith(", which torch chooses") for told in kernels_told(here).values())

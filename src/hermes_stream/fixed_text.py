"""Text whose places are said in tensors, so that a captured graph can repeat it for other text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from hermes_stream.attention_kernels import attend
from hermes_stream.blocks import rows_of
from hermes_stream.packed_kernel import Kernel, shape_options
from hermes_stream.parted_reading import PartedReading

TOKENS_APART = 32
"""Up to so many are read each for itself. An H100 reads 32 of a stream that holds 4,100 as fast as one text
of 32; 64 take it 1.7 times as long as a text of 64 (results/gpu_h100.json)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedText:
    """Where the tokens of a forward of fixed shape stand.

    Attributes:
        block: the tensor of the streams' block. Only rotated keys and values are written: text is rewound
            before any compression, which is what raw keys are for.
        cos: of each token's position, in the model's dtype.
        signed_sin: likewise; see ``memory.rope.signed``.
        rows: of the block, of each token.
        slots: of each token in each layer; it sees all up to its own. Padding stands in slots that are free.
        reading: how a kernel reads; None reads the tokens of a single stream under a mask.
    """

    block: Float[Tensor, "3 streams layers kv_heads slots head_dim"]
    cos: Float[Tensor, "tokens head_dim"]
    signed_sin: Float[Tensor, "tokens head_dim"]
    rows: Int[Tensor, " tokens"]
    slots: Int[Tensor, "layers tokens"]
    reading: FixedReading | PartedReading | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedReading:
    """The kernel's arguments for the tokens of a forward of fixed shape.

    Attributes:
        kernel: see ``packed_kernel``.
        longest: tokens that are read together, at most.
        ends: where what is read together ends, among the tokens; the first is 0.
        starts: row of ``rows_of`` where the stream of each begins, and behind them one of no meaning.
        used: slots of each stream, up to the last token.
    """

    kernel: Kernel
    longest: int
    ends: Int[Tensor, " parts_and_one"]
    starts: Int[Tensor, " parts_and_one"]
    used: Int[Tensor, "layers parts"]

    @classmethod
    def of(
        cls,
        kernel: Kernel,
        rows: Int[Tensor, " tokens"],
        slots: Int[Tensor, "layers tokens"],
        *,
        rows_per_stream: int,
    ) -> FixedReading:
        """Say that each of few tokens is read for itself, whichever text it is of.

        So the slots that it sees are divided among many processors of a GPU, though those of one text are
        fetched once for each of its tokens. A longer text is alone, and read as a whole.

        Args:
            kernel: see ``packed_kernel``.
            rows: see ``FixedText``.
            slots: likewise.
            rows_per_stream: of the block.
        """
        num_tokens = len(rows)
        step = 1 if num_tokens <= TOKENS_APART else num_tokens
        ends = torch.arange(0, num_tokens + 1, step, dtype=torch.int32, device=rows.device)
        starts = F.pad(rows[::step] * rows_per_stream, (0, 1)).int()
        used = (slots[:, step - 1 :: step] + 1).int().contiguous()
        return cls(kernel=kernel, longest=step, ends=ends, starts=starts, used=used)

    def read(
        self,
        layer_idx: int,
        queries: Float[Tensor, "heads tokens head_dim"],
        held: Float[Tensor, "2 streams kv_heads slots head_dim"],
        *,
        scaling: float,
    ) -> Float[Tensor, "one tokens heads head_dim"]:
        """Return what the tokens read of one layer."""
        output: Tensor = self.kernel(
            queries.transpose(0, 1).contiguous(),
            *(rows_of(own) for own in held),
            cu_seq_q=self.ends,
            cu_seq_k=self.starts,
            seqused_k=self.used[layer_idx],
            scale=scaling,
            **shape_options(self.longest, held.shape[3]),
        )
        return output[None]


def forward_fixed(
    decoder: nn.Module, embeddings: Float[Tensor, "tokens hidden"], text: FixedText
) -> Float[Tensor, "tokens hidden"]:
    """Run text tokens through the decoder, with nothing in Python that depends on their streams.

    Args:
        decoder: transformers' text model, set to the ``hermes`` attention.
        embeddings: of the tokens; what padding holds does not matter.
        text: where they go.

    Returns:
        The last hidden states.
    """
    nowhere = torch.zeros_like(text.rows)[None]  # the attention rotates
    output = decoder(inputs_embeds=embeddings[None], position_ids=nowhere, use_cache=False, packed=text)
    hidden: Tensor = output.last_hidden_state[0]
    return hidden


def attend_fixed(
    text: FixedText,
    layer_idx: int,
    queries: Float[Tensor, "heads tokens head_dim"],
    *,
    keys: Float[Tensor, "kv_heads tokens head_dim"],
    values: Float[Tensor, "kv_heads tokens head_dim"],
    scaling: float,
) -> Float[Tensor, "one tokens heads head_dim"]:
    """Write text into its slots, and let each token see all slots up to its own.

    Args:
        text: where the tokens go.
        layer_idx: of the layer.
        queries: of the tokens, rotated.
        keys: likewise, rotated.
        values: likewise.
        scaling: of scores.
    """
    held = text.block[1:, :, layer_idx]
    held[:, text.rows, :, text.slots[layer_idx]] = torch.stack((keys, values)).permute(2, 0, 1, 3)
    if isinstance(text.reading, PartedReading):
        return text.reading.read(layer_idx, queries, keys, values, held=held, scaling=scaling)
    if isinstance(text.reading, FixedReading):
        return text.reading.read(layer_idx, queries, held, scaling=scaling)
    keys, values = held[:, 0] if held.shape[1] == 1 else held.index_select(1, text.rows[:1])[:, 0]
    seen = torch.arange(held.shape[3], device=held.device) <= text.slots[layer_idx][:, None]
    output = attend(queries[None], keys[None], values[None], seen, scaling=scaling, is_fixed=True)
    return output.transpose(1, 2)

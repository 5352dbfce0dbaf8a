"""A stand-in for the packed kernel, which no processor has."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def packed_by_loops(query, key, value, cu_seq_q, cu_seq_k, *, max_q, max_k, seqused_k, **options):
    """Stand in for the packed kernel: as torch documents it, one sequence after the other."""
    assert options["window_size"] == ((-1, 0) if max_q > 1 else (-1, -1))
    assert options["enable_gqa"]
    outputs = []
    for k in range(len(seqused_k)):
        own = query[cu_seq_q[k] : cu_seq_q[k + 1]]
        held = slice(cu_seq_k[k], cu_seq_k[k] + seqused_k[k])
        assert len(own) <= max_q
        assert int(seqused_k[k]) <= max_k
        assert held.stop <= len(key)
        seen = torch.ones(len(own), int(seqused_k[k]), dtype=torch.bool).tril(int(seqused_k[k]) - len(own))
        read = (one[held].transpose(0, 1) for one in (key, value))
        output = F.scaled_dot_product_attention(
            own.transpose(0, 1), *read, attn_mask=seen, scale=options["scale"], enable_gqa=True
        )
        outputs.append(output.transpose(0, 1))
    return torch.cat(outputs)


def summing_by_loops(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, used, is_causal, scale):
    """Stand in for the kernel with sums; what is empty sums up to plus infinity, as it does there."""
    outputs, sums = [], []
    for k in range(len(cu_seq_q) - 1):
        own = query[cu_seq_q[k] : cu_seq_q[k + 1]]
        start = int(cu_seq_k[k])
        count = int(cu_seq_k[k + 1]) - start if used is None else int(used[k])
        assert len(own) <= max_q
        assert count <= max_k
        assert start + count <= len(key)
        group = query.shape[1] // key.shape[1]
        held = [one[start : start + count].repeat_interleave(group, dim=1) for one in (key, value)]
        read = [one.transpose(0, 1) for one in held]
        scores = own.transpose(0, 1) @ read[0].mT * scale
        if is_causal:
            seen = torch.ones(scores.shape[1:], dtype=torch.bool).tril(count - len(own))
            scores = scores.masked_fill(~seen, -torch.inf)
        outputs.append((scores.softmax(dim=-1) @ read[1]).transpose(0, 1))
        sums.append(scores.logsumexp(dim=-1) if count else torch.full(scores.shape[:2], torch.inf))
    return torch.cat(outputs), torch.cat(sums, dim=1)

"""Slow plain-Python loops written from the equations: what every function of ``memory/`` must compute.

Tensors appear only at the rim: an oracle takes nested lists and returns nested lists. Rows hold the tokens
that are present, without padding.
"""

from __future__ import annotations

import math

Rows = list[list[float]]


def tier_names(num_layers: int) -> list[str]:
    """Sec. 2: shallow is l < int(0.1 L), deep is l >= int(0.7 L)."""
    names = []
    for layer in range(num_layers):
        if layer < int(0.1 * num_layers):
            names.append("sensory")
        elif layer >= int(0.7 * num_layers):
            names.append("long_term")
        else:
            names.append("working")
    return names


def working_value(layer: int, num_layers: int, start: float, end: float) -> float:
    """Eq. 3 with w0 = start and w0 - g = end."""
    first, last = int(0.1 * num_layers), int(0.7 * num_layers)
    return start - (start - end) * (layer - first) / (last - first)


def minmax(row: list[float]) -> list[float]:
    return [(value - min(row)) / (max(row) - min(row) + 1e-6) for value in row]


def recency(num_tokens: int, decay: float) -> list[float]:
    """Eq. 1 over the normalised distance."""
    return [math.exp(-decay * (num_tokens - 1 - i) / max(num_tokens - 1, 1)) for i in range(num_tokens)]


def importance(attention: list[float], decay: float, weight: float) -> list[float]:
    """Eqs. 1, 2 and 4."""
    recent = minmax(recency(len(attention), decay)) if attention else []
    attended = minmax(attention) if attention else []
    return [(1 - weight) * a + weight * r for a, r in zip(attended, recent, strict=True)]


def smooth(
    scores: Rows, token_ids: list[list[int]], strength: list[float], match: str, recursive: bool
) -> Rows:
    """Eq. 5."""
    result = [list(row) for row in scores]
    for layer in reversed(range(len(scores) - 1)):
        deeper_scores = result[layer + 1] if recursive else scores[layer + 1]
        for i, own in enumerate(scores[layer]):
            deeper = 0.0
            for j, candidate in enumerate(deeper_scores):
                same = token_ids[layer + 1][j] == token_ids[layer][i] if match == "identity" else i == j
                if same:
                    deeper = candidate
            result[layer][i] = (1 - strength[layer]) * own + strength[layer] * deeper
    return result


def select(scores: list[float], budget: int, preferred: list[bool]) -> list[int]:
    """Eq. 6 for one layer: keep the best token again and again."""
    kept: list[int] = []
    while len(kept) < len(scores):
        left = [i for i in range(len(scores)) if i not in kept]
        if len(kept) >= budget:
            break
        pool = [i for i in left if preferred[i]] or left
        best = pool[0]
        for i in pool:
            if scores[i] > scores[best]:
                best = i
        kept.append(best)
    return sorted(kept)


def layer_budgets(weights: list[int], budget_tokens: int) -> list[int]:
    """Tab. 5 with whole-number weights: exact integer arithmetic, no guard for empty layers."""
    total = len(weights) * budget_tokens
    budgets = [total * weight // sum(weights) for weight in weights]
    rests = [total * weight % sum(weights) for weight in weights]
    while sum(budgets) < total:
        richest = rests.index(max(rests))
        budgets[richest] += 1
        rests[richest] = -1
    return budgets


def mean_of(vectors: Rows, weights: list[float]) -> list[float]:
    """Alg. 1: the (weighted) mean of vectors."""
    result = []
    for dim in range(len(vectors[0])):
        result.append(sum(w * v[dim] for w, v in zip(weights, vectors, strict=True)) / sum(weights))
    return result


def dense(axis: list[float], offset: int) -> list[int]:
    """App. E: offset + rank among the distinct positions of one axis."""
    return [offset + len({other for other in axis if other < position}) for position in axis]


def rotate(vector: list[float], angles: list[float]) -> list[float]:
    """Rotate pair (i, i + d/2) by angle i."""
    half = len(vector) // 2
    rotated = [0.0] * len(vector)
    for i, angle in enumerate(angles):
        rotated[i] = vector[i] * math.cos(angle) - vector[i + half] * math.sin(angle)
        rotated[i + half] = vector[i + half] * math.cos(angle) + vector[i] * math.sin(angle)
    return rotated


def splitmix(identity: int, seed: int) -> float:
    """A number in [0, 1) of a seed and an identity: two steps of SplitMix64, its upper 53 bits."""

    def step(number: int) -> int:
        number = (number + 0x9E3779B97F4A7C15) % 2**64
        number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) % 2**64
        return number ^ (number >> 31)

    return (step(step(seed) + identity) >> 11) / 2**53


def scaled(row: list[int], offset: int, now: int, span: int) -> tuple[list[int], int]:
    """Shorten gaps: a position is its dense rank, and its share of the room that ranks leave in the span."""
    ranks = [int(rank) for rank in dense(row, 0)]
    end = max(ranks, default=-1) + 1
    first = min(row, default=now)
    excess = max(now - first - end, 0)
    room = min(max(span - end, 0), excess)
    ahead = [(p - first - rank) * room // excess if excess else 0 for p, rank in zip(row, ranks, strict=True)]
    return [offset + rank + more for rank, more in zip(ranks, ahead, strict=True)], offset + end + room

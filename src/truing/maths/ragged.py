"""Vectors of unequal length laid end to end, so that no loss, advantage or mean ever meets padding.

B responses hold N tokens in all. A per-token quantity is one flat vector `x_N`; a per-response quantity is `x_B`;
`lengths_B` (int64, each at least 1) ties them. Every function here is differentiable in its `x`, loops over no
response, and gives each response the same bits whatever its neighbours are.

Shape suffixes, everywhere in the house:
B responses · N response tokens · T longest response · P pairs · K ranked answers · S packed sequence with prompts ·
V vocabulary · D width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def owner(lengths_B: Tensor) -> Tensor:
    """The response that each token belongs to: row_N, int64. Source: the house's flat-token convention."""
    return torch.repeat_interleave(lengths_B)


def starts(lengths_B: Tensor) -> Tensor:
    """Where the first token of each response lies: start_B, int64. Source: the house's flat-token convention."""
    return lengths_B.cumsum(0) - lengths_B


def position(lengths_B: Tensor) -> Tensor:
    """The number of tokens before each token in its own response: t_N, int64. Source: the flat-token convention."""
    row_N = owner(lengths_B)
    return torch.arange(len(row_N), device=lengths_B.device) - starts(lengths_B)[row_N]


def spread(x_B: Tensor, lengths_B: Tensor) -> Tensor:
    """A number per response, given to each of its tokens: x_N. Source: the house's flat-token convention."""
    return x_B.repeat_interleave(lengths_B, dim=0)


def total(x_N: Tensor, lengths_B: Tensor) -> Tensor:
    """The sum over each response's tokens: x_B. Floating point only. Source: the house's flat-token convention.

    A segmented sum, not `index_add`: its order is fixed on every device, and here it is five times as fast.
    """
    return torch.segment_reduce(x_N, "sum", lengths=lengths_B)


def last(x_N: Tensor, lengths_B: Tensor) -> Tensor:
    """What stands at each response's last token: x_B. Source: the house's flat-token convention."""
    return x_N[lengths_B.cumsum(0) - 1]


def at_last_token(x_B: Tensor, lengths_B: Tensor) -> Tensor:
    """A number per response, put on its last token, zero on the others: x_N.

    How one score becomes a reward per token: Stiennon et al. 2020, arXiv:2009.01325, section 3.4 (the reward model
    speaks only at the end of the summary).
    """
    end_B = lengths_B.cumsum(0) - 1
    return x_B.new_zeros(int(lengths_B.sum())).index_copy(0, end_B, x_B)


def later(x_N: Tensor, lengths_B: Tensor, steps: int = 1) -> Tensor:
    """What stands `steps` tokens later in the same response, zero past its end: x_N. Source: flat-token convention."""
    moved_N = torch.zeros_like(x_N)
    if steps >= len(x_N):
        return moved_N
    row_N = owner(lengths_B)
    same = row_N[steps:] == row_N[:-steps]
    return torch.cat([torch.where(same, x_N[steps:], 0.0), moved_N[:steps]])


def cumulative_from_end(x_N: Tensor, lengths_B: Tensor, decay: float = 1.0) -> Tensor:
    """The decayed sum of this and all later tokens of the response: y_t = Σ_{l ≥ t} decay^(l−t) x_l, as y_N.

    Source: Sutton and Barto 2018, eq. 3.8. Computed by doubling (Hillis and Steele 1986): after m rounds each token
    holds the sum of its next 2^m terms, so the longest response T costs log2 T vector operations and no padding.
    """
    longest, reach = int(lengths_B.max()), 1
    while reach < longest:
        x_N = x_N + decay**reach * later(x_N, lengths_B, reach)
        reach *= 2
    return x_N


def tokens_of(index_B: Tensor, lengths_B: Tensor) -> Tensor:
    """Where the tokens of the chosen responses lie, in the order chosen: index_N, int64.

    `x_N[tokens_of(index_B, lengths_B)]` goes with `lengths_B[index_B]`. Source: the house's flat-token convention.
    """
    chosen_B = lengths_B[index_B]
    return spread(starts(lengths_B)[index_B], chosen_B) + position(chosen_B)


def pad(x_N: Tensor, lengths_B: Tensor, fill: float = 0) -> Tensor:
    """One row per response, filled up on the right: x_BT. Source: the house's flat-token convention."""
    shape = (len(lengths_B), int(lengths_B.max()), *x_N.shape[1:])
    return x_N.new_full(shape, fill).index_put((owner(lengths_B), position(lengths_B)), x_N)


def flat(x_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """The rows without their filling, laid end to end: x_N, the inverse of `pad`. Source: flat-token convention."""
    return x_BT[owner(lengths_B), position(lengths_B)]


def group_sum(x_B: Tensor, group_B: Tensor) -> Tensor:
    """The sum over all responses of the same group, given to each member: x_B. Groups need not be neighbours.

    Source: the grouping of Shao et al. 2024, arXiv:2402.03300, section 4.1 (answers to one prompt form a group).
    """
    _, number_B, count_G = torch.unique(group_B, return_inverse=True, return_counts=True)
    order_B = number_B.argsort(stable=True)
    return total(x_B[order_B], count_G)[number_B]

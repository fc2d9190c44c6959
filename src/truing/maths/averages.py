"""The weight of each token in the mean over a minibatch: which tokens count alike.

Each gives weight_N from the lengths of the *whole* minibatch, so that `(weight_N * loss_N).sum()` may be added up in
any parts, in any order, and give one gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from truing.maths.ragged import spread


def per_token(lengths_B: Tensor, limit: int) -> Tensor:
    """Every token of the minibatch alike: weight_N = 1/N.

    DAPO, Yu et al. 2025, arXiv:2503.14476, eq. 8. `limit` is not looked at.
    """
    tokens = int(lengths_B.sum())
    return torch.full((tokens,), 1 / tokens, device=lengths_B.device)


def per_response(lengths_B: Tensor, limit: int) -> Tensor:
    """Every response alike, however long: weight_N = 1/(B·length).

    GRPO, Shao et al. 2024, arXiv:2402.03300, eq. 3. A token of a long response weighs less, so long wrong answers are
    punished less per token. `limit` is not looked at.
    """
    return spread(1 / (len(lengths_B) * lengths_B), lengths_B)


def per_limit(lengths_B: Tensor, limit: int) -> Tensor:
    """Every token by the same constant: weight_N = 1/(B·limit), `limit` being the most tokens a response may have.

    Dr. GRPO, Liu et al. 2025, arXiv:2503.20783, section 3.2: the normaliser does not depend on what was sampled.
    """
    tokens = int(lengths_B.sum())
    return torch.full((tokens,), 1 / (len(lengths_B) * limit), device=lengths_B.device)

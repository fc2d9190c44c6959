"""The loss of each token, whose gradient improves the policy (or the critic).

Every policy loss takes `(logp_N, old_N, advantage_N, lengths_B, algo)` and gives loss_N: `logp_N` under the policy
being trained (with gradient), `old_N` under the one that sampled, and the clipping numbers of `algo`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from truing.maths.ragged import spread, total


class Clipping(Protocol):
    """The numbers a clipped loss needs: the ratio is held within [1 − clip_low, 1 + clip_high]."""

    @property
    def clip_low(self) -> float: ...

    @property
    def clip_high(self) -> float: ...

    @property
    def dual_clip(self) -> float: ...  # bound of ratio·|advantage| where the advantage is negative; 0 is off


def negative_log_likelihood(logp_N: Tensor) -> Tensor:
    """How surprised the model is by each token, in nats: loss_N = −log p.

    Bengio et al. 2003, "A neural probabilistic language model", section 2. Added to policy optimisation on pretraining
    text it is PPO-ptx: Ouyang et al. 2022, arXiv:2203.02155, eq. 2.
    """
    return -logp_N


def score_function(logp_N: Tensor, old_N: Tensor, advantage_N: Tensor, lengths_B: Tensor, algo: Clipping) -> Tensor:
    """The plain policy gradient: loss_N = −A log p.

    Williams 1992, "Simple statistical gradient-following algorithms", theorem 1. Right only on the policy's own fresh
    responses: `old_N` and `algo` are not looked at.
    """
    return -advantage_N * logp_N


def clipped_ratio(logp_N: Tensor, old_N: Tensor, advantage_N: Tensor, lengths_B: Tensor, algo: Clipping) -> Tensor:
    """Importance-weighted, and indifferent once a token's ratio ρ = p/p_old has moved enough: −min(ρA, clip(ρ)A).

    PPO, Schulman et al. 2017, arXiv:1707.06347, eq. 7. Separate bounds: Yu et al. 2025, arXiv:2503.14476, eq. 10. Dual
    clip c (0: off): where A < 0 the loss stops at −cA, Ye et al. 2020, arXiv:1912.09729 ("dual-clip PPO").
    """
    return _clipped((logp_N - old_N).exp(), advantage_N, algo)


def sequence_ratio(logp_N: Tensor, old_N: Tensor, advantage_N: Tensor, lengths_B: Tensor, algo: Clipping) -> Tensor:
    """`clipped_ratio` with one ratio per response, the geometric mean of its tokens'.

    GSPO, Zheng et al. 2025, arXiv:2507.18071, eq. 5 to 7 (there with the same advantage on all tokens of a response and
    `per_response` weights). The gradient of each token's loss reaches all tokens of its response.
    """
    mean_log_ratio_B = total(logp_N - old_N, lengths_B) / lengths_B
    return _clipped(spread(mean_log_ratio_B.exp(), lengths_B), advantage_N, algo)


def _clipped(ratio_N: Tensor, advantage_N: Tensor, algo: Clipping) -> Tensor:
    held_N = ratio_N.clamp(1 - algo.clip_low, 1 + algo.clip_high)
    gain_N = torch.minimum(ratio_N * advantage_N, held_N * advantage_N)
    if algo.dual_clip:
        gain_N = torch.where(advantage_N < 0, torch.maximum(gain_N, algo.dual_clip * advantage_N), gain_N)
    return -gain_N


@dataclass(frozen=True)
class Unclipped:
    """Bounds that no ratio reaches."""

    clip_low: float = 1.0
    clip_high: float = math.inf
    dual_clip: float = 0.0


def clip_fraction(
    surrogate: Callable[..., Tensor],
    logp_N: Tensor,
    old_N: Tensor,
    advantage_N: Tensor,
    lengths_B: Tensor,
    algo: Clipping,
) -> Tensor:
    """The share of tokens that teach nothing because a bound holds their ratio.

    A scalar in [0, 1] without gradient: tokens whose loss would be another without the bounds, whatever the surrogate.
    Source: `clipfrac` of OpenAI baselines' ppo2, which also counts bounds that do not bind.
    """
    logp_N = logp_N.detach()
    bound_N = surrogate(logp_N, old_N, advantage_N, lengths_B, algo)
    free_N = surrogate(logp_N, old_N, advantage_N, lengths_B, Unclipped())
    return (bound_N != free_N).to(logp_N.dtype).mean()


def value_error(value_N: Tensor, old_value_N: Tensor, return_N: Tensor, clip: float) -> Tensor:
    """Half the squared error of the critic: loss_N = ½(V − R)².

    Schulman et al. 2017, arXiv:1707.06347, eq. 9. With `clip` above 0, the larger of it and the error of the value held
    within ±clip of the one at sampling time: a critic that already moved that far gets no gradient for moving on.
    OpenAI baselines' ppo2; Engstrom et al. 2020, arXiv:2005.12729, section 3. Clip 0 is off.
    """
    error_N = (value_N - return_N) ** 2
    if clip:
        held_N = old_value_N + (value_N - old_value_N).clamp(-clip, clip)
        error_N = torch.maximum(error_N, (held_N - return_N) ** 2)
    return 0.5 * error_N

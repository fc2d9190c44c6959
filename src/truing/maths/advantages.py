"""Credit for each token: how much better things went than expected.

Every estimator takes `(reward_N, value_N, lengths_B, group_B, algo)` and gives advantage_N. `reward_N` is what each
token earned (score on the last, drift subtracted), `value_N` the critic's estimate *before* each token (None where
there is no critic), `group_B` the prompt each response answers. What follows the last token is worth zero; a response
cut by the length limit is given its missing future beforehand, by `bootstrap_truncated`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from truing.maths.ragged import at_last_token, cumulative_from_end, group_sum, later, position, spread, total


class Discounting(Protocol):
    """The numbers an estimator needs."""

    @property
    def gamma(self) -> float: ...  # worth of a reward one token later

    @property
    def lam(self) -> float: ...  # trust in the rewards (1) against the critic (0)

    @property
    def k_steps(self) -> int: ...  # rewards looked at before the critic is asked


def total_return(
    reward_N: Tensor, value_N: Tensor | None, lengths_B: Tensor, group_B: Tensor, algo: Discounting
) -> Tensor:
    """Every token is credited with the whole return, R(τ) = Σ_t γ^t r_t.

    Williams 1992; Schulman et al. 2016, arXiv:1506.02438, item 1 of the list after eq. 1.
    """
    return spread(_return(reward_N, lengths_B, algo), lengths_B)


def reward_to_go(
    reward_N: Tensor, value_N: Tensor | None, lengths_B: Tensor, group_B: Tensor, algo: Discounting
) -> Tensor:
    """Every token is credited with what came from it on, Σ_{l ≥ t} γ^(l−t) r_l.

    Schulman et al. 2016, arXiv:1506.02438, item 2 of the list after eq. 1.
    """
    return cumulative_from_end(reward_N, lengths_B, algo.gamma)


def reward_to_go_minus_baseline(
    reward_N: Tensor, value_N: Tensor | None, lengths_B: Tensor, group_B: Tensor, algo: Discounting
) -> Tensor:
    """Reward-to-go minus the baseline `value_N` (a critic's, or a running mean given to each token).

    Schulman et al. 2016, arXiv:1506.02438, item 3 of the list after eq. 1.
    """
    value_N = _needed(value_N, "reward_to_go_minus_baseline")
    return cumulative_from_end(reward_N, lengths_B, algo.gamma) - value_N


def k_step(reward_N: Tensor, value_N: Tensor | None, lengths_B: Tensor, group_B: Tensor, algo: Discounting) -> Tensor:
    """k rewards, then the critic's word, minus the critic's: r_t + … + γ^(k−1) r_{t+k−1} + γ^k V_{t+k} − V_t.

    Schulman et al. 2016, arXiv:1506.02438, eq. 14. Past the end of the response both r and V are zero, so a large k is
    reward-to-go minus baseline.
    """
    value_N = _needed(value_N, "k_step")
    if algo.k_steps < 1:
        raise ValueError(f"k_step looks at k_steps >= 1 rewards, not {algo.k_steps}")
    surprise_N = _surprise(reward_N, value_N, lengths_B, algo)
    # As eq. 14 has it, the k-step advantage is the decayed sum of the next k surprises: the values telescope.
    advantage_N = surprise_N
    for step in range(1, min(algo.k_steps, int(lengths_B.max()))):
        advantage_N = advantage_N + algo.gamma**step * later(surprise_N, lengths_B, step)
    return advantage_N


def gae(reward_N: Tensor, value_N: Tensor | None, lengths_B: Tensor, group_B: Tensor, algo: Discounting) -> Tensor:
    """Generalised advantage estimation: Σ_l (γλ)^l δ_{t+l} with δ_t = r_t + γV_{t+1} − V_t.

    Schulman et al. 2016, arXiv:1506.02438, eq. 16.
    """
    surprise_N = _surprise(reward_N, _needed(value_N, "gae"), lengths_B, algo)
    return cumulative_from_end(surprise_N, lengths_B, algo.gamma * algo.lam)


def batch_mean(
    reward_N: Tensor, value_N: Tensor | None, lengths_B: Tensor, group_B: Tensor, algo: Discounting
) -> Tensor:
    """Return minus the mean return of the batch.

    Williams 1992 (reinforcement baseline); Ahmadian et al. 2024, arXiv:2402.14740. The response itself is in the mean,
    which scales the expected gradient by (B−1)/B.
    """
    return_B = _return(reward_N, lengths_B, algo)
    return spread(return_B - return_B.mean(), lengths_B)


def leave_one_out(
    reward_N: Tensor, value_N: Tensor | None, lengths_B: Tensor, group_B: Tensor, algo: Discounting
) -> Tensor:
    """Return minus the mean return of the *other* answers to the prompt.

    RLOO, Ahmadian et al. 2024, arXiv:2402.14740.
    """
    return_B = _return(reward_N, lengths_B, algo)
    count_B = _group_sizes(return_B, group_B, "leave_one_out")
    others_B = (group_sum(return_B, group_B) - return_B) / (count_B - 1)
    return spread(return_B - others_B, lengths_B)


def group_mean(
    reward_N: Tensor, value_N: Tensor | None, lengths_B: Tensor, group_B: Tensor, algo: Discounting
) -> Tensor:
    """Return minus the mean return of all answers to the prompt.

    Dr. GRPO, Liu et al. 2025, arXiv:2503.20783, section 3.2. It is (G−1)/G times `leave_one_out` for G answers.
    """
    return_B = _return(reward_N, lengths_B, algo)
    return spread(_above_group_mean(return_B, group_B, "group_mean")[0].to(return_B.dtype), lengths_B)


def group_norm(
    reward_N: Tensor, value_N: Tensor | None, lengths_B: Tensor, group_B: Tensor, algo: Discounting
) -> Tensor:
    """Return minus the mean of all answers to the prompt, over (their standard deviation + 1e-4).

    GRPO, Shao et al. 2024, arXiv:2402.03300, section 4.1.2. The deviation is the sample's (over G − 1), as TRL and verl
    have it; the paper does not say. 1e-4 rather than verl's 1e-6: differences of rounding within a group of equal
    answers must not be blown up into advice.
    """
    return_B = _return(reward_N, lengths_B, algo)
    above_B, count_B = _above_group_mean(return_B, group_B, "group_norm")
    deviation_B = (group_sum(above_B**2, group_B) / (count_B - 1)).sqrt()
    return spread((above_B / (deviation_B + 1e-4)).to(return_B.dtype), lengths_B)


def global_norm(
    reward_N: Tensor, value_N: Tensor | None, lengths_B: Tensor, group_B: Tensor, algo: Discounting
) -> Tensor:
    """Reward-to-go, whitened over all tokens of the batch.

    REINFORCE++, Hu et al. 2025, arXiv:2501.03262 ("global advantage normalization").
    """
    return whiten(cumulative_from_end(reward_N, lengths_B, algo.gamma))


def whiten(x_N: Tensor, shift_mean: bool = True) -> Tensor:
    """The vector scaled to a standard deviation of 1 and, with `shift_mean`, a mean of 0: x_N.

    (x − mean) / √(variance + 1e-8), the population's variance: Ziegler et al. 2019, arXiv:1909.08593, code
    `utils/core.py`; without the shift the mean is put back unscaled, as there. Statistics of exactly the vector given,
    taken in float64 so that equal numbers give exactly zero: give it the whole batch, never a micro-batch.
    """
    wide_N = x_N.double()
    mean = wide_N.mean()
    scaled_N = (wide_N - mean) / (wide_N.var(correction=0) + 1e-8).sqrt()
    return (scaled_N if shift_mean else scaled_N + mean).to(x_N.dtype)


def bootstrap_truncated(
    reward_N: Tensor, tail_value_B: Tensor, truncated_B: Tensor, lengths_B: Tensor, gamma: float
) -> Tensor:
    """Rewards in which a response cut by the length limit also earns γ·V(after its last token): reward_N.

    Being cut is not an end of the text, so its future is estimated and not taken as zero. With it every estimator above
    is the bootstrapped one. Pardo et al. 2018, arXiv:1712.00378 ("partial-episode bootstrapping").
    `truncated_B` is bool.
    """
    return reward_N + at_last_token(gamma * tail_value_B * truncated_B, lengths_B)


@dataclass(frozen=True)
class RunningMoments:
    """Mean and spread of all numbers seen so far: a running-mean baseline, and the scale of rewards."""

    mean: float = 0.0
    m2: float = 0.0  # sum of squared distances from the mean
    count: int = 0

    def update(self, x: Tensor) -> RunningMoments:
        """The moments with these numbers added. Chan, Golub and LeVeque 1983, "Algorithms for computing the sample
        variance": the same as taking all numbers at once, whatever the parts."""
        wide = x.detach().double().flatten()
        if not len(wide):
            return self
        count = self.count + len(wide)
        mean = float(wide.mean())
        gap = mean - self.mean
        m2 = float(((wide - mean) ** 2).sum()) + gap**2 * self.count * len(wide) / count
        return RunningMoments(self.mean + gap * len(wide) / count, self.m2 + m2, count)

    @property
    def std(self) -> float:
        """The population's standard deviation, made to divide by: 1 as long as all numbers seen were equal."""
        return math.sqrt(self.m2 / self.count) if self.m2 > 0 else 1.0


def _return(reward_N: Tensor, lengths_B: Tensor, algo: Discounting) -> Tensor:
    return total(reward_N * algo.gamma ** position(lengths_B), lengths_B)


def _surprise(reward_N: Tensor, value_N: Tensor, lengths_B: Tensor, algo: Discounting) -> Tensor:
    return reward_N + algo.gamma * later(value_N, lengths_B) - value_N


def _needed(value_N: Tensor | None, name: str) -> Tensor:
    if value_N is None:
        raise ValueError(f"{name} subtracts a value from each token: it needs a critic, or a baseline as value_N")
    return value_N


def _group_sizes(x_B: Tensor, group_B: Tensor, name: str) -> Tensor:
    count_B = group_sum(torch.ones_like(x_B), group_B)
    if int(count_B.min()) < 2:
        raise ValueError(f"{name} compares answers to one prompt: it needs answers >= 2 to each, not 1")
    return count_B


def _above_group_mean(return_B: Tensor, group_B: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """In float64, where the mean of equal numbers is exactly that number."""
    wide_B = return_B.double()
    count_B = _group_sizes(wide_B, group_B, name)
    return wide_B - group_sum(wide_B, group_B) / count_B, count_B

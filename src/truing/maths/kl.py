"""How far the policy has drifted from the reference: estimates per sampled token, and the coefficient that holds it.

All estimate KL(policy ‖ reference) at a token sampled from the policy; they differ in variance and, above all, in what
their gradient is. In the *reward* they are numbers without gradient, and k1 is the choice whose expected policy
gradient is exactly that of the KL. As a term of the *loss*, differentiated through `logp_N` at fresh samples:

k1: zero in expectation, it only adds noise
k2: the gradient of KL(policy ‖ reference) at that token
k3: the gradient of KL(reference ‖ policy) at that token

None of them, there, counts what a token does to the drift of later ones. Sources: Schulman 2020, "Approximating KL
divergence", joschu.net/blog/kl-approx.html, for the names; Tang and Munos 2025, arXiv:2506.09477, for the gradients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


def k1(logp_N: Tensor, ref_N: Tensor) -> Tensor:
    """The log ratio: unbiased, and below zero for many a token.

    Schulman 2020, kl-approx. logp_N, ref_N -> kl_N.
    """
    return logp_N - ref_N


def k2(logp_N: Tensor, ref_N: Tensor) -> Tensor:
    """Half the squared log ratio: biased, never below zero.

    Schulman 2020, kl-approx. logp_N, ref_N -> kl_N.
    """
    return 0.5 * (logp_N - ref_N) ** 2


def k3(logp_N: Tensor, ref_N: Tensor) -> Tensor:
    """exp(d) − 1 − d with d = ref − logp: unbiased, never below zero.

    Schulman 2020, kl-approx. logp_N, ref_N -> kl_N. Not clamped: a token the reference likes e^20 times more gives
    5·10^8, and whoever logs it should see that.
    """
    difference_N = ref_N - logp_N
    return torch.expm1(difference_N) - difference_N  # expm1: exp(d) − 1 would lose all digits near d = 0


@dataclass(frozen=True)
class AdaptiveKL:
    """A KL coefficient that grows while the drift is above its target and shrinks while below."""

    coefficient: float
    target: float  # nats, SUMMED over a response's tokens
    horizon: float  # responses

    def __post_init__(self) -> None:
        for name in ("coefficient", "target", "horizon"):
            if vars(self)[name] <= 0:
                raise ValueError(f"AdaptiveKL multiplies and divides: {name} must be above 0, not {vars(self)[name]}")

    def update(self, kl_per_response: float, responses: int) -> AdaptiveKL:
        """The controller after `responses` more, whose drift was `kl_per_response` nats each on average.

        Ziegler et al. 2019, arXiv:1909.08593, section 2.2: a proportional step on the relative error, clipped to ±0.2.
        """
        error = min(max(kl_per_response / self.target - 1, -0.2), 0.2)
        return replace(self, coefficient=self.coefficient * (1 + error * responses / self.horizon))

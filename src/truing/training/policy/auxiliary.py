"""A term of the loss that keeps a policy good at what it was taught before: PPO-ptx."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from truing.data import formats
from truing.data.batches import Sequences, minibatches
from truing.data.chat import Chat
from truing.data.records import Demonstration
from truing.data.settings import DataSettings
from truing.runs.checkpoint import State
from truing.runs.run import Run
from truing.training import supervised
from truing.training.policy.learners import Learners
from truing.training.policy.settings import Config


@dataclass
class AuxiliaryLoss:
    """PPO-ptx (Ouyang et al. 2022, arXiv:2203.02155, eq. 2): a minibatch of demonstrations adds its gradient.

    It is called within the run of the policy's micro-batches, which makes the whole update again where memory runs out.
    """

    learners: Learners
    tokens: Sequences
    config: Config
    done: int = 0  # minibatches

    def __call__(self) -> dict[str, float]:
        """Add up the gradients of this process's share of the next minibatch. Returns its part of the loss."""
        config, size = self.config, self.config.pretrain_batch
        order = minibatches(len(self.tokens), size, (self.done + 1) * size, config.run.seed, self.done)
        batch = self.tokens.select(torch.tensor(next(order)))
        weight_N = config.pretrain_weight * supervised.weights(batch)
        parts = supervised.split(batch, weight_N, self.learners.micro_batches.budget_tokens)
        loss = supervised.gradients(self.learners.policy, parts)["nll"]
        self.done += 1  # last: where memory runs out, the update is tried again with the same demonstrations
        return {"pretrain": loss}

    def capture(self) -> State:
        """How many minibatches it has read."""
        return State({}, {"done": self.done})

    def restore(self, state: State) -> None:
        """Go on after these."""
        self.done = state.facts["done"]


def auxiliary_loss(learners: Learners, config: Config, chat: Chat, run: Run) -> AuxiliaryLoss | None:
    """The term as configured, or none."""
    if not config.pretrain_weight:
        return None
    records = formats.read(config.pretrain_data, (Demonstration,), config.inputs.strict, run.say, chat.check)
    shape = supervised.Config(config.model, DataSettings(config.pretrain_data), max_tokens=10**9)
    tokens, _ = supervised.encode(records, chat, shape, learners.policy.context, run.say)
    return AuxiliaryLoss(learners, tokens, config)

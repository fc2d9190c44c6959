"""A term of the loss that keeps a policy good at what it was taught before: PPO-ptx."""

from __future__ import annotations

import torch

from truing.data import formats
from truing.data.batches import Sequences, minibatches
from truing.data.chat import Chat
from truing.data.records import Demonstration
from truing.settings import DataSettings
from truing.training import supervised
from truing.training.nets import Nets
from truing.training.policy_settings import Config
from truing.training.run import Run


class PretrainTerm:
    """PPO-ptx (Ouyang et al. 2022, arXiv:2203.02155, eq. 2): a minibatch of demonstrations adds its gradient.

    Like the loss it returns, that is of this process's share of them. It is called within the run of the policy's
    micro-batches, which makes the whole update again where memory runs out.
    """

    def __init__(self, nets: Nets, tokens: Sequences, config: Config) -> None:
        self.nets, self.tokens, self.config, self.done = nets, tokens, config, 0

    def __call__(self) -> dict[str, float]:
        config, size = self.config, self.config.pretrain_batch
        order = minibatches(len(self.tokens), size, (self.done + 1) * size, config.run.seed, self.done)
        batch = self.tokens.select(torch.tensor(next(order)))
        weight_N = config.pretrain_weight * supervised.weights(batch)
        parts = supervised.split(batch, weight_N, self.nets.micro_batches.budget_tokens)
        loss = supervised.gradients(self.nets.policy, parts)["loss/nll"]
        self.done += 1  # last: where memory runs out, the update is tried again with the same demonstrations
        return {"loss/pretrain": loss}


def pretrain_term(nets: Nets, config: Config, chat: Chat, run: Run) -> PretrainTerm | None:
    """The term as configured, or none."""
    if not config.pretrain_weight:
        return None
    records = formats.read(config.pretrain_data, (Demonstration,), config.inputs.strict, run.say, chat.check)
    shape = supervised.Config(config.model, DataSettings(config.pretrain_data), max_tokens=10**9)
    return PretrainTerm(nets, supervised.encode(records, chat, shape, nets.policy.context, run.say)[0], config)

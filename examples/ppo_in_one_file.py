"""PPO for language models in one file, on padded [B, T] tensors and nothing but torch: the teaching twin of Truing.

    python examples/ppo_in_one_file.py

A toy policy learns to say the letter "a". Truing does the same work on flat tokens, without masks; a test holds the
two to the same numbers. Shapes: B responses, T longest response, P prompt, S = P + T, V vocabulary.

Sources: PPO, Schulman et al. 2017, arXiv:1707.06347; GAE, Schulman et al. 2016, arXiv:1506.02438; PPO for language
models with a KL penalty in the reward, Ziegler et al. 2019, arXiv:1909.08593.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass
class Settings:
    kl_in_reward: float = 0.05  # price of each nat of drift from the reference
    gamma: float = 1.0
    lam: float = 0.95
    clip: float = 0.2
    value_clip: float = 0.2
    value_weight: float = 0.1
    epochs: int = 4
    minibatches: int = 4
    max_grad_norm: float = 1.0


# ---- Speaking ---------------------------------------------------------------------------------------------------


@torch.no_grad()
def sample(policy: nn.Module, prompt_BP: Tensor, longest: int, end: int) -> tuple[Tensor, Tensor]:
    """Responses, token by token: ids_BS with their prompts in front, and mask_BT, 1 on tokens that were really said."""
    ids, done = prompt_BP, torch.zeros(len(prompt_BP), dtype=torch.bool)
    mask = []
    for _ in range(longest):
        token_B = torch.multinomial(policy(ids)[:, -1].softmax(-1), 1)[:, 0]
        mask.append(~done)  # the end token itself was said; what comes after it was not
        done = done | (token_B == end)
        ids = torch.cat([ids, token_B[:, None]], 1)
    return ids, torch.stack(mask, 1).float()


def logprobs(policy: nn.Module, ids_BS: Tensor, prompt: int) -> Tensor:
    """Log-prob of each response token, [B, T]. The token at place t is predicted at place t - 1."""
    logp_BTV = policy(ids_BS)[:, prompt - 1 : -1].log_softmax(-1)
    return logp_BTV.gather(-1, ids_BS[:, prompt:, None])[..., 0]


def values(critic: nn.Module, ids_BS: Tensor, prompt: int) -> Tensor:
    """The critic's estimate before each response token, [B, T]."""
    return critic(ids_BS)[:, prompt - 1 : -1]


# ---- Credit -----------------------------------------------------------------------------------------------------


def rewards(score_B: Tensor, logp_BT: Tensor, ref_BT: Tensor, mask_BT: Tensor, settings: Settings) -> Tensor:
    """The score falls on the last token that was said; every token pays for its drift from the reference, [B, T]."""
    last_B = mask_BT.sum(1).long() - 1
    reward_BT = -settings.kl_in_reward * (logp_BT - ref_BT) * mask_BT
    reward_BT[torch.arange(len(score_B)), last_B] += score_B
    return reward_BT


def advantages(reward_BT: Tensor, value_BT: Tensor, mask_BT: Tensor, settings: Settings) -> Tensor:
    """GAE, backwards in time. What lies behind the last token is worth nothing, [B, T]."""
    value_BT = value_BT * mask_BT
    advantage_B, next_value_B = torch.zeros(len(reward_BT)), torch.zeros(len(reward_BT))
    out = []
    for t in reversed(range(reward_BT.shape[1])):
        delta_B = reward_BT[:, t] + settings.gamma * next_value_B - value_BT[:, t]
        advantage_B = (delta_B + settings.gamma * settings.lam * advantage_B) * mask_BT[:, t]
        next_value_B = value_BT[:, t]
        out.append(advantage_B)
    return torch.stack(out[::-1], 1)


def mean(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Over the tokens that were said: every one weighs the same."""
    return (x_BT * mask_BT).sum() / mask_BT.sum()


def whiten(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean 0 and variance 1 over all tokens of the batch, before it is cut into minibatches."""
    centred_BT = x_BT - mean(x_BT, mask_BT)
    return centred_BT / (mean(centred_BT**2, mask_BT) + 1e-8).sqrt() * mask_BT


# ---- Learning ---------------------------------------------------------------------------------------------------


def policy_loss(logp_BT: Tensor, old_BT: Tensor, advantage_BT: Tensor, mask_BT: Tensor, settings: Settings) -> Tensor:
    """-min(ratio A, clip(ratio) A): no reward for moving further than the clip allows."""
    ratio_BT = (logp_BT - old_BT).exp()
    held_BT = ratio_BT.clamp(1 - settings.clip, 1 + settings.clip)
    return mean(-torch.minimum(ratio_BT * advantage_BT, held_BT * advantage_BT), mask_BT)


def value_loss(value_BT: Tensor, old_BT: Tensor, return_BT: Tensor, mask_BT: Tensor, settings: Settings) -> Tensor:
    """Half the squared error, the larger of it and the error of the value held near the old one."""
    held_BT = old_BT + (value_BT - old_BT).clamp(-settings.value_clip, settings.value_clip)
    return mean(0.5 * torch.maximum((value_BT - return_BT) ** 2, (held_BT - return_BT) ** 2), mask_BT)


def learn(
    policy: nn.Module,
    critic: nn.Module,
    reference: nn.Module,
    policy_optimizer: torch.optim.Optimizer,
    critic_optimizer: torch.optim.Optimizer,
    ids_BS: Tensor,
    mask_BT: Tensor,
    score_B: Tensor,
    prompt: int,
    settings: Settings,
    rng: torch.Generator,
) -> dict[str, float]:
    """One iteration of PPO on responses that were sampled from the policy as it is now."""
    with torch.no_grad():
        old_BT, ref_BT = logprobs(policy, ids_BS, prompt), logprobs(reference, ids_BS, prompt)
        old_value_BT = values(critic, ids_BS, prompt)
        reward_BT = rewards(score_B, old_BT, ref_BT, mask_BT, settings)
        advantage_BT = advantages(reward_BT, old_value_BT, mask_BT, settings)
        return_BT = advantage_BT + old_value_BT
        advantage_BT = whiten(advantage_BT, mask_BT)
    everything = [ids_BS, mask_BT, old_BT, old_value_BT, advantage_BT, return_BT]
    for _ in range(settings.epochs):
        order_B = torch.randperm(len(ids_BS), generator=rng)
        for batch in zip(*(x[order_B].tensor_split(settings.minibatches) for x in everything)):
            ids, mask, old, old_value, advantage, return_ = batch
            loss = policy_loss(logprobs(policy, ids, prompt), old, advantage, mask, settings)
            loss_v = value_loss(values(critic, ids, prompt), old_value, return_, mask, settings)
            (loss + settings.value_weight * loss_v).backward()
            for net, optimizer in ((policy, policy_optimizer), (critic, critic_optimizer)):
                nn.utils.clip_grad_norm_(net.parameters(), settings.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad()
    kl_B = ((old_BT - ref_BT) * mask_BT).sum(1)
    return {"reward": score_B.mean().item(), "kl": kl_B.mean().item(), "length": mask_BT.sum(1).mean().item()}


# ---- A toy to try it on -----------------------------------------------------------------------------------------


class Toy(nn.Module):
    """A small recurrent network: logits of the next letter, or with `outputs` = 1 a value at each place."""

    def __init__(self, letters: int, outputs: int, width: int = 32) -> None:
        super().__init__()
        self.embed, self.read = nn.Embedding(letters, width), nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, outputs)

    def forward(self, ids_BS: Tensor) -> Tensor:
        out = self.head(F.relu(self.read(self.embed(ids_BS))[0]))
        return out[..., 0] if out.shape[-1] == 1 else out


def main(iterations: int = 60, seed: int = 0) -> list[float]:
    """Train the toy: the score of a response is the share of its letters that are "a". Returns the mean scores."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    letters, end, wanted, prompt, longest = 12, 0, 1, 2, 10
    policy, reference, critic = Toy(letters, letters), Toy(letters, letters), Toy(letters, 1)
    reference.load_state_dict(policy.state_dict())
    policy_optimizer = torch.optim.AdamW(policy.parameters(), lr=3e-3, eps=1e-5, weight_decay=0.0)
    critic_optimizer = torch.optim.AdamW(critic.parameters(), lr=3e-3, eps=1e-5, weight_decay=0.0)
    history = []
    for iteration in range(iterations):
        prompt_BP = torch.randint(1, letters, (64, prompt))
        ids_BS, mask_BT = sample(policy, prompt_BP, longest, end)
        score_B = ((ids_BS[:, prompt:] == wanted) * mask_BT).sum(1) / mask_BT.sum(1)
        nets = (policy, critic, reference, policy_optimizer, critic_optimizer)
        told = learn(*nets, ids_BS, mask_BT, score_B, prompt, Settings(kl_in_reward=0.02), rng)
        history.append(told["reward"])
        if iteration % 10 == 9:
            print(f"iteration {iteration + 1:3d}   " + "   ".join(f"{k} {v:6.3f}" for k, v in told.items()))
    return history


if __name__ == "__main__":
    main()

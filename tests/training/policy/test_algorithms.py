from dataclasses import fields, replace

import pytest

from truing.errors import UserError
from truing.maths import advantages, averages, kl, surrogates
from truing.training.policy.algorithms import PPO, TABLE, Algorithm, algorithm, explain


def test_rows_are_the_choices_their_papers_make():
    """Schulman 2017 + Ziegler 2019; Shao 2024; Liu 2025; Yu 2025; Zheng 2025; Ahmadian 2024; Hu 2025; Williams 1992."""
    chosen = {
        name: (
            row.advantage,
            row.surrogate,
            row.average,
            row.kl,
            bool(row.kl_in_reward),
            bool(row.kl_in_loss),
            bool(row.critic),
        )
        for name, row in TABLE.items()
    }
    a, s, m, k = advantages, surrogates, averages, kl
    assert chosen == {
        "reinforce": (a.batch_mean, s.score_function, m.per_token, k.k1, True, False, False),
        "reinforce++": (a.global_norm, s.clipped_ratio, m.per_token, k.k1, True, False, False),
        "rloo": (a.leave_one_out, s.score_function, m.per_token, k.k1, True, False, False),
        "ppo": (a.gae, s.clipped_ratio, m.per_token, k.k1, True, False, True),
        "grpo": (a.group_norm, s.clipped_ratio, m.per_response, k.k3, False, True, False),
        "dr_grpo": (a.group_mean, s.clipped_ratio, m.per_limit, k.k3, False, False, False),
        "dapo": (a.group_norm, s.clipped_ratio, m.per_token, k.k3, False, False, False),
        "gspo": (a.group_norm, s.sequence_ratio, m.per_response, k.k3, False, False, False),
    }
    assert (TABLE["dapo"].clip_low, TABLE["dapo"].clip_high) == (0.2, 0.28)
    assert (TABLE["gspo"].clip_low, TABLE["gspo"].clip_high) == (3e-4, 4e-4)
    assert (PPO.gamma, PPO.lam, PPO.epochs, PPO.clip_low, PPO.value_clip) == (1.0, 0.95, 4, 0.2, 0.2)


def test_override_replaces_numbers_only_and_keeps_their_type():
    row = algorithm("ppo", {"kl_in_reward": 0.2, "epochs": 2.0})
    assert row == replace(PPO, kl_in_reward=0.2, epochs=2) and isinstance(row.epochs, int)
    assert algorithm("ppo", None, {"kl": "k3", "average": "per_response"}) == replace(
        PPO, kl=kl.k3, average=averages.per_response
    )


@pytest.mark.parametrize(
    ("name", "override", "choose", "said"),
    [
        ("pppo", {}, {}, 'algorithm = "pppo".*did you mean "ppo"'),
        ("ppo", {"kl_in_rewards": 1}, {}, 'did you mean "kl_in_reward"'),
        ("ppo", {"advantage": 1}, {}, '"advantage" is not a number'),
        ("ppo", {"epochs": 1.5}, {}, "epochs = 1.5: it must be a whole number"),
        ("ppo", {"lam": 2}, {}, "lam = 2.0: it must be between 0 and 1"),
        ("ppo", {"dual_clip": 0.5}, {}, "dual_clip"),
        ("ppo", {}, {"advantages": "gae"}, 'did you mean "advantage"'),
        ("ppo", {}, {"advantage": "gea"}, 'did you mean "gae"'),
        ("rloo", {"answers": 1}, {}, "leave_one_out compares answers to one prompt: it needs answers >= 2, not 1"),
        ("reinforce", {}, {"advantage": "gae"}, "gae needs a critic"),
        ("reinforce", {"bootstrap": 1}, {}, "bootstrap asks the critic"),
    ],
)
def test_impossible_rows_are_refused_by_name(name, override, choose, said):
    with pytest.raises(UserError, match=said):
        algorithm(name, override, choose)


def test_explain_tells_every_choice():
    for row in TABLE.values():
        lines = explain(row)
        assert [name for name, _, _ in lines] == [f.name for f in fields(Algorithm)]
        assert all(meaning for _, _, meaning in lines)
    told = {name: (value, meaning) for name, value, meaning in explain(PPO)}
    assert told["advantage"][0] == "gae" and "credit for each token" in told["advantage"][1]
    assert told["epochs"][0] == "4"

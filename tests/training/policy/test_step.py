"""The heart, on a tiny model: what must not change the result, what must, and the teaching twin's numbers."""

import copy
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.fakes import FakeGenerator

from truing.data import batches
from truing.data.batches import Sequences
from truing.data.records import Message, Prompt
from truing.data.rollouts import Experience, Minibatch, Rollouts
from truing.errors import Diverged
from truing.generation.sampling import Sampling
from truing.maths.advantages import RunningMoments, reward_to_go
from truing.maths.ragged import last
from truing.models.adapters import Adapter
from truing.models.loading import load_policy, load_scorer
from truing.models.memory import MicroBatches
from truing.models.precision import best_flops
from truing.models.roles import trainable
from truing.runs.checkpoint import State
from truing.training.loop import Update
from truing.training.optimize import Learning, Optimizer, StepStats
from truing.training.policy.algorithms import PARTS, PPO, TABLE, algorithm
from truing.training.policy.collect import Collected, Collector, with_scores
from truing.training.policy.learners import LARGEST_GAP, Estimates, Learners, losses
from truing.training.policy.scoring import ScoreSettings, Scoring
from truing.training.policy.step import Iteration, Plan, credit, described, rates, step

LEARNING = Learning(lr=1e-2, schedule="constant")
PROMPT = Prompt((Message("user", "hi"),))
LENGTHS = [3, 7, 1, 5, 4, 9, 2, 6]
LIMIT = 12
SCORES = torch.tensor([1.0, -0.5, 0.3, 2.0, 0.0, -1.0, 0.7, 0.2])


def learners_of(model: str, row, learning: Learning = LEARNING) -> Learners:
    torch.manual_seed(0)
    policy = load_policy(model)
    reference = copy.deepcopy(policy).requires_grad_(False)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    critic = load_scorer(model, seed=3) if row.critic else None
    return Learners(
        policy,
        reference,
        critic,
        Optimizer(trainable(policy), learning, 100),
        Optimizer(trainable(critic), learning, 100) if critic is not None else None,
        MicroBatches(10_000),
    )


def rollouts_of(learners: Learners, answers: int = 1) -> Rollouts:
    """Eight fixed responses with the policy's own log-probs, as if it had sampled them."""
    rng = torch.Generator().manual_seed(1)
    responses = [torch.randint(7, 300, (n,), generator=rng).tolist() for n in LENGTHS]
    tokens = Sequences.of([[1, 4]] * 8, responses)
    with torch.no_grad():
        logp_N = learners.policy(tokens).logp_N
    zeros_N, cut_B = torch.zeros_like(logp_N), torch.tensor([False, True] * 4)
    return Rollouts(tokens, logp_N, zeros_N, zeros_N, cut_B, torch.arange(8) // max(answers, 1))


def experience_of(learners: Learners, algo, scores=SCORES, rollouts: Rollouts | None = None) -> Experience:
    """What these responses are credited with."""
    rollouts = rollouts_of(learners, algo.answers) if rollouts is None else rollouts
    return credit(rollouts, learners.estimate(rollouts, algo), scores, algo)


def minibatch_of(experience: Experience, algo) -> Minibatch:
    """All of it."""
    return Minibatch(experience, algo.average(experience.lengths_B, LIMIT))


def begun_step(learners: Learners, algo, rollouts=None, scores=SCORES, iteration=None, **plan):
    """A step of these responses, in place of sampled ones, to be run; and its iteration."""
    rollouts = rollouts if rollouts is not None else rollouts_of(learners, algo.answers)
    iteration = iteration or Iteration()

    def collect(prompts, algo):
        kept, kept_B = with_scores(rollouts, scores, algo.compares_answers)
        return Collected(kept, kept_B, "x", len(rollouts) - len(kept))

    plan = Plan(LIMIT, **{"rng": torch.Generator().manual_seed(5), **plan})
    return step(learners, [PROMPT], collect, algo, plan, iteration), iteration


def run_step(learners: Learners, algo, rollouts: Rollouts | None = None, scores=SCORES, **plan) -> dict[str, float]:
    """The metrics of a whole step."""
    steps, iteration = begun_step(learners, algo, rollouts, scores, **plan)
    for _ in steps:
        pass
    return iteration.metrics


def weights(learners: Learners) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainable(learners.policy, learners.critic)])


@pytest.fixture(params=sorted(TABLE))
def row(request):
    algo = TABLE[request.param]
    return replace(algo, answers=4) if algo.answers > 1 else algo


def test_microbatches_do_not_change_the_result(tiny_model, row):
    results = []
    for budget in (10_000, 24, 1):
        learners = learners_of(tiny_model, row)
        learners.micro_batches.budget_tokens = budget
        run_step(learners, row)
        results.append(weights(learners))
    torch.testing.assert_close(results[0], results[1], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(results[0], results[2], atol=2e-5, rtol=1e-4)


def test_a_response_without_a_score_might_as_well_not_have_been_sampled(tiny_model, row):
    """To the bit. Broken on purpose: its score taken as zero, or its tokens kept in the loss's normaliser -> red."""
    bad_B = torch.zeros(8, dtype=torch.bool)
    bad_B[[2, 7] if row.answers == 1 else [2, 4, 5, 6]] = True  # answer 7 is then alone with its prompt
    gone_B = bad_B.clone()
    gone_B[7] = True
    one, other = learners_of(tiny_model, row), learners_of(tiny_model, row)
    figures = run_step(one, row, scores=torch.where(bad_B, float("nan"), SCORES))
    left = (~gone_B).nonzero().flatten()
    again = run_step(other, row, rollouts_of(other, row.answers).select(left), SCORES[left])
    assert torch.equal(weights(one), weights(other)) and one.baseline == other.baseline
    assert (figures["reward/dropped"], again["reward/dropped"]) == (gone_B.sum(), 0)
    same = {name for name in figures if not name.startswith(("time/", "rate/"))} - {"reward/dropped"}
    assert all(figures[name] == again[name] for name in same)


def test_every_row_moves_the_weights_towards_better_answers(tiny_model, row):
    """One small full-batch update: the advantage-weighted log-prob of what was said goes up."""
    row = replace(row, epochs=1, minibatches=1)
    learners = learners_of(tiny_model, row, Learning(lr=1e-3, schedule="constant"))
    run_step(learners, row)
    before = minibatch_of(experience_of(learners_of(tiny_model, row), row), row)
    gain_N = learners.policy(before.experience.tokens).logp_N.detach() - before.experience.old_N
    assert (before.weight_N * before.experience.advantage_N * gain_N).sum() > 0


def test_ratio_is_one_before_the_first_update(tiny_model, row):
    learners = learners_of(tiny_model, row)
    figures = run_step(learners, row, check=True)
    assert figures["policy/first_ratio"] == pytest.approx(1, abs=1e-4)
    assert figures["check/logprob_gap"] < 1e-4


def test_whoever_generates_the_policy_learns_from_its_own_log_probs(tiny_model, chat, row):
    """The generator is none of ours: it draws every token with the same probability. The check finds that its log-probs
    are not the policy's, and ratios begin at 1. Broken on purpose: its own log-probs taken -> red."""
    learners, iteration = learners_of(tiny_model, row), Iteration()
    learners.warn = (told := []).append
    before, generator = weights(learners), FakeGenerator()
    scoring = Scoring(lambda prompts, responses: [float(sum(r.token_ids) % 5) for r in responses], ScoreSettings())
    collector = Collector(generator, chat, Sampling(max_new_tokens=LIMIT), scoring, seed=1)
    prompts = [PROMPT, Prompt((Message("user", "What colour?"),))] * (1 if row.answers > 1 else 3)
    plan = Plan(LIMIT, torch.Generator().manual_seed(5), check=True)
    for _ in step(learners, prompts, collector, row, plan, iteration):
        pass
    assert len(generator.asked[0]) == len(prompts) * row.answers == len(iteration.experience)
    assert iteration.metrics["check/logprob_gap"] > LARGEST_GAP and learners.recomputes and "again" in told[0]
    assert iteration.metrics["policy/first_ratio"] == pytest.approx(1, abs=1e-4)
    assert not torch.equal(weights(learners), before)


def test_reading_a_prompt_once_for_its_responses_does_not_change_the_step(tiny_model, row, monkeypatch):
    results = []
    for shared_from, budget in ((10**9, 10_000), (1, 10_000), (1, 12)):
        monkeypatch.setattr(batches, "SHARED_FROM", shared_from)
        learners = learners_of(tiny_model, row)
        tokens = rollouts_of(learners, row.answers).tokens
        assert (len(tokens.token_S) < len(tokens.prompt_M) + len(tokens.token_N)) == (shared_from == 1)
        learners.micro_batches.budget_tokens = budget
        run_step(learners, row)
        results.append(weights(learners))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("prices", "check", "measured"),
    [({}, False, False), ({}, True, True), ({"kl_in_reward": 0.1}, False, True), ({"kl_in_loss": 0.1}, False, True)],
    ids=["free", "checked", "in_reward", "in_loss"],
)
def test_the_reference_is_asked_where_drift_has_a_price_or_is_checked(tiny_model, monkeypatch, prices, check, measured):
    algo = replace(PPO, **{"kl_in_reward": 0.0, "kl_in_loss": 0.0, **prices})
    asked, ask = [], Learners.reference_logprobs
    monkeypatch.setattr(
        Learners, "reference_logprobs", lambda learners, tokens: asked.append(1) or ask(learners, tokens)
    )
    figures = run_step(learners_of(tiny_model, algo), algo, check=check)
    assert bool(asked) == measured == ("kl/per_response" in figures)


def test_order_of_responses_does_not_change_the_gradient(tiny_model, row):
    learners = learners_of(tiny_model, row)
    rollouts, gradients = rollouts_of(learners, row.answers), []
    for order in (torch.arange(8), torch.tensor([7, 2, 5, 0, 3, 6, 1, 4])):
        turned = experience_of(learners, row, SCORES[order], rollouts.select(order))
        terms, _ = losses(learners, minibatch_of(turned, row), row)
        parameters = list(trainable(learners.policy))
        grads = torch.autograd.grad(sum(terms.values()), parameters)
        gradients.append(torch.cat([g.flatten() for g in grads]))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"kl_in_reward": 0.5}, {"kl_in_loss": 0.5}, {"kl_in_loss": 0.5, "exact_kl": 1.0}, {"entropy": 0.1},
        {"epochs": 2},
        {"minibatches": 2}, {"clip_low": 0.01}, {"clip_high": 0.01}, {"whiten": 0.0}, {"value_clip": 0.01},
        {"gamma": 0.5}, {"lam": 0.5}, {"bootstrap": 1.0}, {"dual_clip": 1.01},
    ],
    ids=lambda c: "+".join(c),
)  # fmt: skip
def test_every_number_has_an_effect(tiny_model, change):
    base = replace(PPO, clip_low=0.5, clip_high=0.5, critic=0.5, value_clip=0.5, epochs=3, minibatches=1)
    if "exact_kl" in change:
        base = replace(base, kl_in_loss=0.5)
    results = []
    for algo in (base, replace(base, **change)):
        learners = learners_of(tiny_model, algo, Learning(lr=3e-2, schedule="constant"))
        run_step(learners, algo)
        results.append(weights(learners))
    assert (results[0] - results[1]).abs().max() > 1e-5


def test_exact_drift_from_the_base_of_an_adapter(tiny_model):
    """Broken on purpose: the reference asked for only where it is a network of its own -> red, k3 is taken."""
    algo = replace(TABLE["grpo"], kl_in_loss=1.0, exact_kl=1.0)
    adapted = load_policy(tiny_model, Adapter(lora_rank=2))
    with torch.no_grad():
        for parameter in trainable(adapted):
            parameter += 0.1 * torch.randn_like(parameter)
    told = []
    for reference in (None, load_policy(tiny_model)):
        learners = Learners(
            adapted, reference, None, Optimizer(trainable(adapted), LEARNING, 9), None, MicroBatches(10_000)
        )
        experience = experience_of(learners, algo, rollouts=rollouts_of(learners, 2))
        terms, _ = losses(learners, minibatch_of(experience, algo), algo)
        told.append((terms["reference"], torch.autograd.grad(terms["reference"], list(trainable(adapted)))))
    torch.testing.assert_close(told[0], told[1])
    assert told[0][0] > 1e-3


@pytest.mark.parametrize("low_precision", [False, True])
def test_an_adapters_exact_drift_is_that_from_its_base_through_a_whole_iteration(tiny_model, low_precision):
    """With a value head on the trunk, two passes and two minibatches, in the copy that computes too."""
    algo = replace(PPO, kl_in_loss=0.5, kl_in_reward=0.1, epochs=2, minibatches=2)
    ends = {}
    for exact, own_reference in ((1.0, False), (1.0, True), (0.0, False)):
        adapted = load_policy(tiny_model, Adapter(lora_rank=2), trunk_value=True)
        base = load_policy(tiny_model).requires_grad_(False)
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in trainable(adapted):
                parameter += 0.1 * torch.randn_like(parameter)
        if low_precision:
            adapted.compute_in(torch.bfloat16)
            base.compute_in(torch.bfloat16, moves=False)
        optimizer = Optimizer(trainable(adapted), LEARNING, 9, adapted.follow)
        learners = Learners(adapted, base if own_reference else None, None, optimizer, None, MicroBatches(10_000))
        with torch.no_grad():
            value_N = adapted(rollouts_of(learners).tokens).value_N
        told = run_step(learners, replace(algo, exact_kl=exact), replace(rollouts_of(learners), value_N=value_N))
        ends[exact, own_reference] = weights(learners), told["loss/reference"], told["kl/per_response"]
    (here, drift, _), (apart, its_drift, _), (estimated, its_estimate, _) = ends.values()
    close = {"atol": 3e-3, "rtol": 2e-2} if low_precision else {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(here, apart, **close)
    assert drift == pytest.approx(its_drift, rel=2e-2 if low_precision else 1e-4) and drift > 1e-3
    assert abs(drift - its_estimate) > 0.05 * drift and (here - estimated).abs().max() > 1e-3


def test_k_steps_have_an_effect(tiny_model):
    one, two = (algorithm("ppo", {"k_steps": k}, {"advantage": "k_step"}) for k in (1, 3))
    learners = learners_of(tiny_model, one)
    few, many = (experience_of(learners, algo) for algo in (one, two))
    assert not torch.equal(few.advantage_N, many.advantage_N)


def test_credit_by_hand():
    """Two responses, no critic, no whitening: the price of drift is taken from each token, the score is the last's."""
    tokens = Sequences.of([[1], [1]], [[5, 6], [7]])
    old_N, ref_N = torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([-1.5, -2.0, -2.0])
    zeros_N, uncut_B = torch.zeros(3), torch.tensor([False, False])
    rollouts = Rollouts(tokens, old_N, zeros_N, zeros_N, uncut_B, torch.tensor([0, 0]))
    estimates = Estimates(old_N, ref_N, zeros_N, torch.zeros(2), logprob_gap=0.0)
    algo = replace(TABLE["reinforce"], kl_in_reward=0.1)
    # k1: 0.5, 0, -1. Rewards: -0.05, 4 | 2 + 0.1. Returns: 3.95, 2.1; their mean 3.025.
    experience = credit(rollouts, estimates, torch.tensor([4.0, 2.0]), algo)
    torch.testing.assert_close(experience.advantage_N, torch.tensor([0.925, 0.925, -0.925]))
    torch.testing.assert_close(experience.return_N, torch.tensor([3.95, 4.0, 2.1]))
    figures = described(experience, estimates, algo, check=False)
    assert figures["kl/per_response"] == pytest.approx((0.5 - 1) / 2)
    assert figures["reward/mean"] == 3 and figures["reward/std"] == 1 and "check/logprob_gap" not in figures


def test_a_critics_metrics_by_hand():
    """Values 1, 3, 2 where the returns were 2, 3, 7: what is left is 1, 0, 5, of variance 42/9; that of returns, 42/9
    as well. And 1, 3, 7: what is left is 1, 0, 0, of variance 2/9."""
    tokens, zeros_N, numbers_B = Sequences.of([[1], [1]], [[5, 6], [7]]), torch.zeros(3), torch.tensor([0, 0])
    rollouts = Rollouts(tokens, zeros_N, zeros_N, zeros_N, numbers_B.bool(), numbers_B)
    return_N = torch.tensor([2.0, 3.0, 7.0])
    for value_N, explained in (([1.0, 3.0, 2.0], 0.0), ([1.0, 3.0, 7.0], 1 - 2 / 42)):
        estimates = Estimates(zeros_N, zeros_N, torch.tensor(value_N), torch.zeros(2), logprob_gap=0.25)
        given = (torch.zeros(2), zeros_N, zeros_N, estimates.value_N, torch.zeros(2), zeros_N, return_N)
        metrics = described(Experience(rollouts, *given), estimates, PPO, check=True)
        assert metrics["critic/explained_variance"] == pytest.approx(explained, abs=1e-6)
        assert metrics["critic/value"] == pytest.approx(sum(value_N) / 3) and metrics["check/logprob_gap"] == 0.25


def test_what_an_iteration_took_and_left_out_by_hand(tiny_model):
    learners, iteration = learners_of(tiny_model, PPO), Iteration()
    experience = experience_of(learners, PPO)
    iteration.begin(experience, Collected(experience.rollouts, SCORES, "x", 3, generate_s=1.0, score_s=2.0))
    iteration.add({"a": 1.0}, judge=3.0, learn=4.0)
    assert iteration.seconds == {"sample": 1, "judge": 5, "learn": 4} and iteration.responses == 8 + 3
    for ratio in (1.0, 3.0):
        iteration.record(Update({"policy": ratio}, {}, {"policy/ratio": ratio}))
    assert iteration.metrics == {
        "a": 1, "loss/policy": 2, "policy/ratio": 2, "policy/first_ratio": 1, "reward/dropped": 3,
        "time/sample_s": 1, "time/judge_s": 5, "time/learn_s": 4,
    }  # fmt: skip
    tokens, read = sum(LENGTHS), len(experience.tokens.token_S)
    assert rates(learners, iteration, PPO, check=False)["rate/tokens_per_s"] == pytest.approx(tokens / 10)
    free = replace(PPO, kl_in_reward=0.0)
    with_it, without = (rates(learners, iteration, free, check)["rate/share_of_peak"] for check in (True, False))
    share = learners.reference.flops(read, tokens) / 10 / best_flops("cpu")
    assert with_it - without == pytest.approx(share, rel=1e-6)


def test_the_baseline_is_of_the_scores_before_and_then_knows_these(tiny_model):
    """Without a critic. Red when a response is compared with a mean that holds its own score."""
    algo = algorithm("reinforce", choose={"advantage": "reward_to_go_minus_baseline"})
    learners = learners_of(tiny_model, algo)
    learners.observe(torch.tensor([4.0, 8.0]))
    steps, iteration = begun_step(learners, algo)
    next(steps)
    assert iteration.experience.value_N.unique().tolist() == [6.0]
    assert learners.baseline == RunningMoments().update(torch.tensor([4.0, 8.0])).update(SCORES)


def test_approx_kl_is_k3_from_the_policy_that_sampled(tiny_model):
    """E under the old policy of r - 1 - ln r with r = now / old: Schulman 2020, joschu.net/blog/kl-approx.html."""
    learners = learners_of(tiny_model, PPO)
    experience = experience_of(learners, PPO)
    experience = replace(experience, old_N=experience.old_N - torch.linspace(-0.5, 1.0, len(experience.old_N)))
    ratio_N = (learners.policy(experience.tokens).logp_N - experience.old_N).exp()
    _, sums = losses(learners, minibatch_of(experience, PPO), PPO)
    assert sums["policy/approx_kl"] == pytest.approx((ratio_N - 1 - ratio_N.log()).sum().item(), rel=1e-4)
    assert sums["policy/ratio"] == pytest.approx(ratio_N.sum().item(), rel=1e-4)


@pytest.mark.parametrize("advantage", PARTS["advantage"], ids=lambda f: f.__name__)
def test_what_a_critic_learns_is_a_return_whatever_gives_credit(tiny_model, advantage):
    """Broken on purpose: advantage + value for all -> red, where no value was subtracted the critic ran away."""
    algo = replace(PPO, advantage=advantage, lam=1.0, k_steps=99, gamma=0.9, bootstrap=1.0, answers=2)
    learners = learners_of(tiny_model, algo)
    rollouts, paid = rollouts_of(learners, 2), replace(algo, advantage=reward_to_go, whiten=0.0)
    expected = experience_of(learners, paid, rollouts=rollouts).advantage_N
    torch.testing.assert_close(experience_of(learners, algo, rollouts=rollouts).return_N, expected)


def test_bootstrap_gives_the_cut_response_its_future(tiny_model):
    algo = replace(PPO, bootstrap=1.0, whiten=0.0, lam=1.0, kl_in_reward=0.0)
    learners = learners_of(tiny_model, algo)
    given, plain = (experience_of(learners, replace(algo, bootstrap=bootstrap)) for bootstrap in (1.0, 0.0))
    extra_B = last(given.advantage_N - plain.advantage_N, given.lengths_B)
    torch.testing.assert_close(extra_B, given.tail_value_B * given.rollouts.truncated_B, atol=1e-5, rtol=1e-4)


def test_trunk_critic_gets_its_values_from_sampling_and_its_gradient_from_the_same_pass(tiny_model):
    torch.manual_seed(0)
    policy = load_policy(tiny_model, trunk_value=True)
    torch.nn.init.normal_(policy.value_head.weight)
    learners = Learners(
        policy,
        copy.deepcopy(policy).requires_grad_(False),
        None,
        Optimizer(trainable(policy), LEARNING, 9),
        None,
        MicroBatches(10_000),
    )
    with torch.no_grad():
        value_N = policy(rollouts_of(learners).tokens).value_N
    before, rollouts = policy.value_head.weight.clone(), replace(rollouts_of(learners), value_N=value_N)
    figures = run_step(learners, PPO, rollouts)
    assert "loss/critic" in figures and not torch.equal(before, policy.value_head.weight)
    batch = minibatch_of(experience_of(learners, PPO, rollouts=rollouts), PPO)
    terms = [losses(learners, batch, replace(PPO, critic=critic))[0] for critic in (0.1, 0.7)]
    assert terms[1]["critic"].item() == pytest.approx(7 * terms[0]["critic"].item(), rel=1e-4)
    assert "critic" not in losses(learners, batch, replace(TABLE["rloo"], answers=4))[0]


def test_an_auxiliary_term_is_added_before_each_update(tiny_model):
    learners, calls = learners_of(tiny_model, PPO), []

    def auxiliary():
        calls.append(1)
        return {"pretrain": 1.0}

    figures = run_step(learners, PPO, auxiliary=auxiliary)
    assert len(calls) == PPO.epochs * PPO.minibatches and figures["loss/pretrain"] == 1.0


def test_only_the_critic_learns_in_its_warmup(tiny_model):
    learners = learners_of(tiny_model, PPO)
    policy = torch.cat([p.detach().clone().flatten() for p in learners.policy.parameters()])
    critic = torch.cat([p.detach().clone().flatten() for p in learners.critic.parameters()])
    run_step(learners, PPO, train_policy=False)
    assert torch.equal(policy, torch.cat([p.flatten() for p in learners.policy.parameters()]))
    assert not torch.equal(critic, torch.cat([p.flatten() for p in learners.critic.parameters()]))


def test_the_teaching_twin_yields_the_same_numbers(tiny_model):
    """One PPO iteration, four epochs of four minibatches, on padded tensors with masks: the same weights come out."""
    path = Path(__file__).parents[3] / "examples" / "ppo_in_one_file.py"
    spec = importlib.util.spec_from_file_location("ppo_in_one_file", path)
    twin = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["ppo_in_one_file"] = twin
    spec.loader.exec_module(twin)
    learning = replace(LEARNING, lr=1e-3)
    learners = learners_of(tiny_model, PPO, learning)
    rollouts = rollouts_of(learners)
    policy, critic, reference = (copy.deepcopy(net) for net in (learners.policy, learners.critic, learners.reference))
    for net in (policy, critic, reference):
        net.lm_inside.set_attn_implementation("eager")

    class Logits(torch.nn.Module):
        def __init__(self, net, read):
            super().__init__()
            self.net, self.read = net, read

        def forward(self, ids):
            return self.read(self.net, ids)

    def logits(net, ids):
        return net.lm_inside(ids, use_cache=False).logits

    def values(net, ids):
        return net.score(net.lm_inside.model(ids, use_cache=False).last_hidden_state)[..., 0]

    longest = max(LENGTHS)
    rows = rollouts.tokens.token_N.split(LENGTHS)
    ids_BS = torch.stack(
        [torch.cat([torch.tensor([1, 4]), r, torch.zeros(longest - len(r), dtype=torch.long)]) for r in rows]
    )
    mask_BT = (torch.arange(longest) < rollouts.lengths_B[:, None]).float()
    settings = {
        "eps": learning.adam_eps,
        "betas": (learning.beta1, learning.beta2),
        "weight_decay": 0.0,
        "lr": learning.lr,
    }
    twin.learn(
        Logits(policy, logits), Logits(critic, values), Logits(reference, logits),
        torch.optim.AdamW(policy.parameters(), **settings), torch.optim.AdamW(critic.parameters(), **settings),
        ids_BS, mask_BT, SCORES, 2, twin.Settings(), torch.Generator().manual_seed(5),
    )  # fmt: skip
    start = weights(learners)
    run_step(learners, PPO)
    theirs = torch.cat([p.detach().flatten() for p in trainable(policy, critic)])
    assert (start - theirs).abs().max() > 1e-3
    torch.testing.assert_close(weights(learners), theirs, atol=2e-5, rtol=1e-4)


def through_json(state: State) -> State:
    """As it comes back from disk."""
    return State({name: tensor.clone() for name, tensor in state.tensors.items()}, json.loads(json.dumps(state.facts)))


@pytest.mark.parametrize("stop", range(6))
def test_a_step_left_where_it_yields_goes_on_to_the_same_bits(tiny_model, stop):
    """After the experience, in the middle of a pass, between two, and after the last update.

    Red when the order of a pass, a place in it, an update or a draw is lost, or made anew.
    """
    algo = replace(PPO, epochs=2, minibatches=3)
    whole = learners_of(tiny_model, algo)
    expected = run_step(whole, algo, check=True)
    learners, rng = learners_of(tiny_model, algo), torch.Generator().manual_seed(5)
    steps, iteration = begun_step(learners, algo, rng=rng, check=True)
    for _ in range(1 + stop):
        next(steps)
    saved, draws = through_json(iteration.capture()), rng.get_state()
    resumed, again = Iteration(first_response="of another run", updates=["one"]), torch.Generator()
    resumed.restore(saved)
    again.set_state(draws)
    steps, _ = begun_step(learners, algo, iteration=resumed, rng=again, check=True)
    assert sum(1 for _ in steps) == algo.epochs * algo.minibatches - stop
    assert torch.equal(weights(learners), weights(whole)) and resumed.first_response == "x"
    timeless = {name for name in expected if not name.startswith(("time/", "rate/"))}
    assert {name: resumed.metrics[name] for name in timeless} == {name: expected[name] for name in timeless}
    assert set(resumed.metrics) == set(expected) and resumed.seconds["judge"] == iteration.seconds["judge"]


def test_between_iterations_there_is_nothing_to_save(tiny_model):
    learners = learners_of(tiny_model, PPO)
    steps, iteration = begun_step(learners, PPO)
    assert sum(1 for _ in steps) == 1 + PPO.epochs * PPO.minibatches
    iteration.clear()
    empty = iteration.capture()
    assert not empty.tensors and not empty.facts and not iteration.has_begun and not iteration.updates
    other = Iteration(updates=["one"], first_response="of the one before")
    other.restore(through_json(empty))
    assert not other.has_begun and other.updates == [] and other.first_response == ""


def test_the_experience_is_measured_once_before_anything_moves(tiny_model):
    learners, seen = learners_of(tiny_model, PPO), []
    start = weights(learners)

    def measure(experience):
        seen.append((len(experience), torch.equal(weights(learners), start)))
        return {"tug/reward": 3.0}

    steps, iteration = begun_step(learners, PPO, measure=measure)
    next(steps)
    assert seen == [(8, True)]
    for _ in steps:
        pass
    assert len(seen) == 1 and iteration.metrics["tug/reward"] == 3.0


def test_a_minibatch_that_moves_nothing_is_put_in_quarantine(tiny_model):
    """The second of four, and the whole of it; a loss that is no number ends the run after it is kept."""
    learners, kept = learners_of(tiny_model, replace(PPO, epochs=1)), []
    algo, given, norms = replace(PPO, epochs=1), learners.policy_optimizer.step, iter([1, 0, 1, 1])

    def step(loss=None):
        return given() if next(norms) else replace(StepStats(0.0, 1.0, False), skipped=True)

    learners.policy_optimizer.step = step
    steps, iteration = begun_step(learners, algo, quarantine=kept.append)
    for number, _ in enumerate(steps):
        assert len(kept) == (number >= 2)
    assert len(kept[0]) == 2 and iteration.metrics["policy/skipped"] == 0.25
    broken = learners_of(tiny_model, algo)
    broken.policy_optimizer.step = None
    with torch.no_grad():
        next(iter(broken.critic.parameters())).fill_(float("nan"))
    steps, _ = begun_step(broken, replace(algo, advantage=TABLE["reinforce"].advantage), quarantine=kept.append)
    with pytest.raises(Diverged, match="loss/critic is nan"):
        for _ in steps:
            pass
    assert len(kept) == 2

from dataclasses import replace

import pytest
import torch
from tests.templates import CHATML, with_template
from tests.training.policy.test_stage import config_of, vowels

from truing.data.records import Message, Prompt
from truing.errors import UserError
from truing.generation.local import LocalGenerator
from truing.models.adapters import Adapter
from truing.models.loading import load_chat, load_scorer, save
from truing.runs.run import Run
from truing.training.optimize import Learning
from truing.training.policy.assemble import assemble, critic_start, with_the_policys_tokens
from truing.training.policy.collect import Collector
from truing.training.policy.prompts import Prompts
from truing.training.policy.scoring import Scoring
from truing.training.policy.stage import fit


def assembled(config):
    with Run.open(config.run, config, "rl") as run:
        return assemble(config, run)


def test_each_network_learns_by_as_many_steps_as_the_run_has(tiny_model, tmp_path):
    """While the critic warms up, the policy takes none."""
    row = {"override": {"epochs": 2, "minibatches": 4}}
    learners = assembled(config_of(tiny_model, tmp_path, iterations=5, critic_warmup=2, critic_lr=0.1, **row))
    assert (learners.policy_optimizer.steps, learners.critic_optimizer.steps) == (3 * 8, 5 * 8)
    assert learners.critic_optimizer.learning.lr == 0.1 and learners.policy_optimizer.learning.lr == 3e-3
    assert not any(p.requires_grad for p in learners.reference.parameters())
    few = assembled(config_of(tiny_model, tmp_path, iterations=5, prompts_per_iteration=3, **row))
    assert few.policy_optimizer.steps == 5 * 6, "three responses are three minibatches"


def test_what_the_networks_warn_of_stands_in_the_run(tiny_model, tmp_path):
    config = config_of(tiny_model, tmp_path)
    with Run.open(config.run, config, "rl") as run:
        learners = assemble(config, run)
        learners.warn("a gap")
        learners.micro_batches.warn("a lack of memory")
        assert run.warnings == ["a gap", "a lack of memory"]


def test_an_adapter_has_its_base_for_a_reference_and_a_row_without_critic_none(tiny_model, tmp_path):
    learners = assembled(config_of(tiny_model, tmp_path, algorithm="rloo", lora=Adapter(lora_rank=2)))
    assert learners.reference is None and learners.owner is learners.policy
    assert learners.critic is None and learners.critic_optimizer is None and learners.policy.value_head is None
    trunk = assembled(config_of(tiny_model, tmp_path, critic_from="trunk"))
    assert trunk.critic is None and trunk.policy.value_head is not None and trunk.owner is None


def test_with_adapters_a_critic_from_the_reward_model_learns_on_the_policys_base(tiny_model, tokenizer, tmp_path):
    """Broken on purpose: its head left frozen, as an adapter freezes all of the model it wraps -> red."""
    judge = load_scorer(tiny_model, Adapter(lora_rank=2))
    save(judge, tokenizer, tmp_path / "reward" / "model")
    given = {"reward": (str(tmp_path / "reward"),), "critic_from": "reward", "lora": Adapter(lora_rank=2)}
    config = config_of(tiny_model, tmp_path, iterations=1, learning=Learning(lr=1e-2), **given)
    with Run.open(config.run, config, "rl") as run:
        learners = assemble(config, run)
        prompts = [Prompt((Message("user", "Number 1?"),))] * 6
        scoring, chat = Scoring(vowels, config.scores), load_chat(tiny_model)
        generator = LocalGenerator(learners.policy, chat)
        collector = Collector(generator, chat, config.sampling, scoring)
        fit(learners, collector, Prompts(prompts, prompts[:1]), config, run)
    places = {p.data_ptr() for p in learners.policy.parameters() if not p.requires_grad}
    frozen = [p for p in learners.critic.parameters() if not p.requires_grad]
    assert frozen and all(p.data_ptr() in places for p in frozen)
    assert not torch.equal(learners.critic.score.weight, judge.score.weight)


def test_critic_starts_from_the_reward_model_where_there_is_one(tiny_model, tmp_path):
    config = config_of(tiny_model, tmp_path)
    assert critic_start(config) == tiny_model
    assert critic_start(replace(config, reward=("exact", "0.5*runs/rm"))) == "runs/rm"
    with pytest.raises(UserError, match="no reward is a reward model"):
        critic_start(replace(config, critic_from="reward"))


def test_a_critic_that_reads_other_tokens_is_none(tiny_model, tokenizer, tmp_path):
    """A reward model reads the text, whatever its tokenizer; a critic and a reference read the policy's tokens."""
    other = str(tmp_path / "other")
    save(load_scorer(tiny_model), with_template(tokenizer, CHATML), other)
    told = []
    config = replace(config_of(tiny_model, tmp_path), reward=(other,))
    assert with_the_policys_tokens(config, critic_start(config), told.append) == tiny_model
    assert told == [f"the critic starts from the policy: {other} has another tokenizer"]
    for changes in ({"critic_from": "reward"}, {"critic_from": other}, {"reference": other}):
        with pytest.raises(UserError, match="has another tokenizer than"):
            with_the_policys_tokens(replace(config, **changes), other, told.append)

import pytest

from truing.data.chat import Chat
from truing.data.records import Message, Prompt
from truing.errors import UserError
from truing.generation.sampling import Sampling
from truing.models.loading import load_scorer
from truing.settings import configured
from truing.training.policy.learners import Learners
from truing.training.policy.prompts import Prompts, fitting, read_prompts
from truing.training.policy.settings import Config


def asked(**more):
    given = {"held_out": 0.5, "evaluation_prompts": 3, "chat_format": "plain", **more}
    sampling = Sampling(max_new_tokens=20)
    return configured(Config, model="m", data=("here",), reward=("exact",), sampling=sampling, **given)


def learners_of(policy, critic=None):
    return Learners(policy, None, critic, None, None, None)


class Told:
    def __init__(self):
        self.said = []

    def say(self, line):
        self.said.append(line)


def prompts(count, split="", length=1):
    return [Prompt((Message("user", f"{split}{i} " * length),), split=split) for i in range(count)]


def reading(given):
    return lambda sources, kinds, strict, say, check: given


def test_those_marked_test_are_held_out_and_doubles_go(chat):
    given = [*prompts(4, "train"), *prompts(4, "train"), *prompts(5, "test"), *prompts(2, "validation")]
    found = read_prompts(asked(), chat, Told(), reading(given))
    assert found == Prompts(prompts(4, "train"), prompts(3, "test"))


def test_without_marks_a_share_is_held_out_and_none_is_on_both_sides(chat):
    found = read_prompts(asked(evaluation_prompts=99), chat, Told(), reading(prompts(40)))
    assert len(found.learned) + len(found.held_out) == 40 and not set(found.learned) & set(found.held_out)
    assert 8 < len(found.held_out) < 32


def test_a_share_that_leaves_nothing_is_refused(chat):
    with pytest.raises(UserError, match=r"held_out = 0\.999"):
        read_prompts(asked(held_out=0.999), chat, Told(), reading(prompts(1)))


def test_prompts_without_room_are_told_and_left_out(policy, tokenizer):
    chat, run = Chat(tokenizer, "plain"), Told()
    short, long = prompts(3), prompts(2, "long", 500)
    found = fitting(Prompts([*short, long[0]], [long[1]]), learners_of(policy), chat, asked(), run)
    assert found == Prompts(short, short[:3]) and run.said
    with pytest.raises(UserError, match="every prompt"):
        fitting(Prompts(long, short), learners_of(policy), chat, asked(), run)


def test_prompts_that_leave_a_critic_no_room_for_a_long_answer_are_told_before_it_reads_one(
    policy, tokenizer, tiny_model
):
    """A critic of half the policy's context ended the run at the first response it could not read."""
    chat, run, critic = Chat(tokenizer, "plain"), Told(), load_scorer(tiny_model)
    critic.lm_inside.config.max_position_embeddings = 48
    short, long = prompts(3), prompts(1, "long", 10)
    assert len(chat.prompt_ids(long[0].messages)) + 20 > 48
    found = Prompts([*short, *long], short)
    assert fitting(found, learners_of(policy), chat, asked(), run) == found
    assert fitting(found, learners_of(policy, critic), chat, asked(), run) == Prompts(short, short)
    assert len(run.said) == 1 and run.said[0].startswith(
        "1 of 4 prompts leave no room for max_new_tokens in reference's or critic's context of 48 tokens; the first, "
    )

import torch

from truing.generation.local import LocalGenerator
from truing.generation.sampling import Sampling

SAMPLING = Sampling(max_new_tokens=10)


def test_end_ids_join_tokenizer_and_generation_settings(policy, chat):
    policy.lm_inside.generation_config.eos_token_id = [7, 9]
    assert LocalGenerator(policy, chat).end_ids == sorted({chat.end_id, 7, 9})
    everything = list(range(len(chat.tokenizer)))
    policy.lm_inside.generation_config.eos_token_id = everything
    (g,) = LocalGenerator(policy, chat).generate([[1, 5]], SAMPLING, [0])
    assert len(g.token_ids) == 1 and g.finish_reason == "stop"


def test_stop_strings_are_looked_for_in_the_text_of_the_chat(policy, chat):
    generator = LocalGenerator(policy, chat)
    free = next(g for seed in range(50) if len(chat.text((g := _one(generator, seed)).token_ids)) > 8)
    stop = chat.text(free.token_ids)[4:6]
    cut = _one(generator, free.seed, stop=(stop,))
    assert cut.finish_reason == "stop" and stop in chat.text(cut.token_ids)
    assert stop not in chat.text(cut.token_ids[:-1])


def _one(generator, seed, **more):
    return generator.generate([[1, 5]], Sampling(max_new_tokens=30, **more), [seed])[0]


def test_it_generates_with_the_weights_of_now(policy, chat):
    """Red when an engine or its keys and values outlive a call."""
    generator = LocalGenerator(policy, chat)
    before = generator.generate([[1, 5, 6]], SAMPLING, [3])[0]
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    after, fresh = (g.generate([[1, 5, 6]], SAMPLING, [3])[0] for g in (generator, LocalGenerator(policy, chat)))
    assert after.logprobs == fresh.logprobs != before.logprobs

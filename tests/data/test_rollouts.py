from dataclasses import fields

import torch

from truing.data.batches import Sequences
from truing.data.rollouts import Experience, Minibatch, Rollouts

PLACE_N, NUMBER_B = torch.arange(7.0), torch.arange(3.0)


def rollouts() -> Rollouts:
    tokens = Sequences.of([[1, 2], [3], [4, 5, 6]], [[7, 8], [9], [10, 11, 12, 13]])
    cut_B, group_B = torch.tensor([True, False, True]), torch.tensor([0, 0, 1])
    return Rollouts(tokens, PLACE_N, 10 + PLACE_N, -PLACE_N, cut_B, group_B)


def experience() -> Experience:
    """Every number tells its field and its place."""
    numbers = {
        f.name: 100 * k + (PLACE_N if f.name.endswith("_N") else NUMBER_B)
        for k, f in enumerate(fields(Experience))
        if f.name != "rollouts"
    }
    return Experience(rollouts(), **numbers)


def test_select_takes_everything_along():
    chosen = rollouts().select(torch.tensor([2, 0]))
    assert chosen.tokens.token_N.tolist() == [10, 11, 12, 13, 7, 8]
    assert chosen.logp_N.tolist() == [3, 4, 5, 6, 0, 1]
    assert chosen.kept_N.tolist() == [13, 14, 15, 16, 10, 11]
    assert chosen.value_N.tolist() == [-3, -4, -5, -6, 0, -1]
    assert chosen.group_B.tolist() == [1, 0]
    assert chosen.truncated_B.tolist() == [True, True]


def test_select_takes_all_of_an_experience_along():
    """Red when a field is left behind, or one of each response is taken for one of each token."""
    whole, chosen = experience(), experience().select(torch.tensor([2, 0]))
    assert chosen.tokens.token_N.tolist() == [10, 11, 12, 13, 7, 8] and chosen.lengths_B.tolist() == [4, 2]
    for field in fields(Experience):
        if field.name != "rollouts":
            places = [3, 4, 5, 6, 0, 1] if field.name.endswith("_N") else [2, 0]
            assert torch.equal(getattr(chosen, field.name), getattr(whole, field.name)[places])


def test_micro_batches_lose_nothing_and_keep_the_weights():
    batch = Minibatch(experience(), PLACE_N / 21)
    for parts in (batch.parts(6), batch.parts(1), [batch.select(torch.tensor([2, 0, 1]))]):
        pairs = [p for part in parts for p in zip(part.experience.rollouts.logp_N.tolist(), part.weight_N.tolist())]
        assert sorted(pairs) == list(zip(PLACE_N.tolist(), batch.weight_N.tolist()))
    assert all(len(part.experience.tokens.token_S) <= 6 or len(part) == 1 for part in batch.parts(6))


def test_named_tensors_tell_all_of_it():
    for whole in (rollouts(), experience()):
        again = type(whole).of(whole.named())
        assert again.named().keys() == whole.named().keys()
        assert all(torch.equal(tensor, again.named()[name]) for name, tensor in whole.named().items())
    assert rollouts().named()["tokens.token_N"].tolist() == [7, 8, 9, 10, 11, 12, 13]
    assert "rollouts.tokens.token_N" in experience().named()


def test_kl_of_a_response_is_its_log_ratio_summed():
    one = Experience(rollouts(), *(NUMBER_B, 2 * PLACE_N, PLACE_N, PLACE_N, NUMBER_B, PLACE_N, PLACE_N))
    assert one.kl_B.tolist() == [0 + 1, 2, 3 + 4 + 5 + 6]

import torch

from truing.data.batches import Sequences
from truing.data.rollouts import Rollouts


def rollouts() -> Rollouts:
    tokens = Sequences.of([[1, 2], [3], [4, 5, 6]], [[7, 8], [9], [10, 11, 12, 13]])
    place_N = torch.arange(7.0)
    return Rollouts(
        tokens, place_N, 10 + place_N, torch.tensor([True, False, True]), torch.tensor([0, 0, 1]), value_N=-place_N
    )


def test_select_takes_everything_along():
    chosen = rollouts().select(torch.tensor([2, 0]))
    assert chosen.tokens.token_N.tolist() == [10, 11, 12, 13, 7, 8]
    assert chosen.logp_N.tolist() == [3, 4, 5, 6, 0, 1]
    assert chosen.kept_N.tolist() == [13, 14, 15, 16, 10, 11]
    assert chosen.value_N.tolist() == [-3, -4, -5, -6, 0, -1]
    assert chosen.group_B.tolist() == [1, 0]
    assert chosen.truncated_B.tolist() == [True, True]
    assert chosen.ref_N is None


def test_split_and_parts_lose_nothing():
    for pieces in (rollouts().select(torch.tensor([2, 0, 1])).split(2), rollouts().parts(6), rollouts().split(5)):
        assert sorted(x for piece in pieces for x in piece.logp_N.tolist()) == list(range(7))
    assert [len(piece) for piece in rollouts().split(2)] == [2, 1]
    assert all(len(p.tokens.token_S) <= 6 or len(p) == 1 for p in rollouts().parts(6))


def test_named_tensors_tell_all_of_it():
    named = rollouts().named()
    assert "ref_N" not in named and named["tokens.token_N"].tolist() == [7, 8, 9, 10, 11, 12, 13]
    again = Rollouts.of(named)
    assert again.ref_N is None and all(torch.equal(tensor, again.named()[name]) for name, tensor in named.items())

import torch

from truing.generation.cache import Decode, SlotCache
from truing.models.attention import Rule


def test_decode_sees_its_own_slot_and_nothing_beyond_its_length():
    torch.manual_seed(0)
    cache = SlotCache(slots=3, context=10)
    key, value = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
    keys, values = cache.room(0, key, value)
    keys.normal_(), values.normal_()
    lengths = [0, 4, 7]
    past = [(keys[i, :, :n].clone(), values[i, :, :n].clone()) for i, n in enumerate(lengths)]
    query = torch.randn(3, 4, 4)
    out = Decode(cache, torch.tensor(lengths)).attend(0, query, key, value, Rule(0.5, None, None))
    for i in range(3):
        k = torch.cat([past[i][0], key[i][:, None]], 1).repeat_interleave(2, 0)
        v = torch.cat([past[i][1], value[i][:, None]], 1).repeat_interleave(2, 0)
        weight = (query[i][:, None] @ k.transpose(1, 2) * 0.5).softmax(-1)
        torch.testing.assert_close(out[i], (weight @ v)[:, 0])


def test_move_copies_a_slot():
    cache = SlotCache(2, 5)
    keys, values = cache.room(3, torch.zeros(1, 1, 2), torch.zeros(1, 1, 2))
    keys[1], values[1] = 7, 8
    cache.move(1, 0, 4)
    assert keys[0, 0, :, 0].tolist() == [7, 7, 7, 7, 0]
    assert values[0, 0, :, 1].tolist() == [8, 8, 8, 8, 0]

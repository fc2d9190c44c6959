import torch

from truing.generation.cache import Decode, SlotCache
from truing.models.attention import Rule


def test_decode_sees_its_own_slot_and_nothing_beyond_its_length():
    torch.manual_seed(0)
    cache = SlotCache(slots=3)
    cache.fit(10)
    key, value = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
    keys, values = cache.layer(0, key, value)
    keys.normal_(), values.normal_()
    lengths = [0, 4, 7]
    past = [(keys[i, :, :n].clone(), values[i, :, :n].clone()) for i, n in enumerate(lengths)]
    query = torch.randn(3, 4, 4)
    out = Decode([(cache, 3)], torch.tensor(lengths)).attend(0, query, key, value, Rule(0.5, None, None))
    for i in range(3):
        k = torch.cat([past[i][0], key[i][:, None]], 1).repeat_interleave(2, 0)
        v = torch.cat([past[i][1], value[i][:, None]], 1).repeat_interleave(2, 0)
        weight = (query[i][:, None] @ k.transpose(1, 2) * 0.5).softmax(-1)
        torch.testing.assert_close(out[i], (weight @ v)[:, 0])


def test_tokens_of_two_caches_are_seen_as_by_each_alone():
    torch.manual_seed(0)
    key, value, query = torch.randn(3, 2, 4), torch.randn(3, 2, 4), torch.randn(3, 4, 4)
    rule, outputs = Rule(0.5, None, None), []
    caches = [SlotCache(2), SlotCache(1)]
    for cache, longest in zip(caches, (70, 4), strict=True):
        cache.fit(longest)
        for store in cache.layer(0, key, value):
            store.normal_()
    for cache, rows, lengths in ((caches[0], slice(0, 2), [64, 9]), (caches[1], slice(2, 3), [3])):
        layout = Decode([(cache, len(lengths))], torch.tensor(lengths))
        outputs.append(layout.attend(0, query[rows], key[rows], value[rows], rule))
    together = Decode([(caches[0], 2), (caches[1], 1)], torch.tensor([64, 9, 3]))
    torch.testing.assert_close(together.attend(0, query, key, value, rule), torch.cat(outputs))


def test_move_copies_a_slot():
    cache = SlotCache(2)
    cache.fit(5)
    keys, values = cache.layer(3, torch.zeros(1, 1, 2), torch.zeros(1, 1, 2))
    keys[1], values[1] = 7, 8
    cache.move(1, 0, 4)
    assert keys[0, 0, :, 0].tolist() == [7, 7, 7, 7, *[0] * 28]
    assert values[0, 0, :, 1].tolist() == [8, 8, 8, 8, *[0] * 28]


def test_capacity_grows_around_what_is_kept_and_what_is_ready_holds_numbers():
    cache = SlotCache(2)
    cache.fit(20)
    keys, _ = cache.layer(0, torch.zeros(1, 1, 2), torch.zeros(1, 1, 2))
    assert (cache.capacity, cache.ready) == (32, 32) and not keys.any()
    keys[:, :, :20] = 5
    for longest, capacity, ready in ((33, 64, 64), (200, 224, 224), (90, 224, 224)):
        cache.fit(longest)
        assert (cache.capacity, cache.ready) == (capacity, ready)
        held = cache.keys[0]
        assert held.shape == (2, 1, capacity, 2) and (held[:, :, :20] == 5).all() and not held[:, :, 20:ready].any()


def test_what_was_never_written_is_never_read():
    """Broken on purpose: what becomes ready not set to zero -> red, zero times what is no number."""
    cache, rule = SlotCache(2, 96), Rule(0.5, None, None)
    key, value, query = torch.randn(2, 2, 4), torch.randn(2, 2, 4), torch.randn(2, 4, 4)
    for store in cache.layer(0, key, value):
        store.fill_(torch.nan)
    cache.fit(3)
    out = Decode([(cache, 2)], torch.tensor([3, 50])).attend(0, query, key, value, rule)
    assert out.isfinite().all()

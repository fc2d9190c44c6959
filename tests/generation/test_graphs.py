"""Without an accelerator: a step is traced to its bare operations on fixed storage, as a CUDA graph has them, and those
are done again. What Python decided while tracing stays as it was, and what would have to ask the device fails."""

import gc
import weakref

import pytest
import torch
from tests.models.test_attention import CONFIGS, model_of
from torch.fx.experimental.proxy_tensor import make_fx
from transformers import GPT2Config, LlamaConfig

from truing.generation import graphs, runner
from truing.generation.cache import SlotCache
from truing.generation.local import Engine
from truing.generation.sampling import Sampling
from truing.models.loading import policy_of

PROMPTS = [[1, 5, 6], [1, 9], [1, 5, 6], [1, 7, 8, 9, 10, 11], [1]]


@pytest.fixture
def traced(monkeypatch):
    """How often a step was captured, and how often played."""
    counts = {"captured": 0, "played": 0}

    def captured(work, others):
        operations = make_fx(work)()
        result = operations()
        counts["captured"] += 1
        others.append(operations)

        def replay():
            counts["played"] += 1
            result.copy_(operations())

        return replay, result

    monkeypatch.setattr(graphs, "captured", captured)
    monkeypatch.setattr(graphs, "ROOM", 16)
    monkeypatch.setattr(graphs, "ROWS", 4)
    return counts


def said(policy, captures, new=16, slots=4):
    speaking = Engine(policy, Sampling(max_new_tokens=new), [2], slots=slots)
    speaking.runner.captures = captures
    flights = [speaking.add(prompt, seed) for seed, prompt in enumerate(PROMPTS)]
    speaking.run()
    return [flight.token_ids for flight in flights]


@pytest.mark.parametrize("slots", [2, 64])
def test_steps_played_again_say_the_same(policy, traced, slots):
    assert said(policy, True, slots=slots) == said(policy, False, slots=slots)
    assert 0 < traced["captured"] < traced["played"]


def test_graphs_of_storage_that_had_to_grow_are_forgotten(policy, traced):
    """A long prompt comes beside a short one and ends while another short one goes on in the sizes of the first.

    Broken on purpose: graphs not forgotten -> red, old ones read and write where nobody else does.
    """
    told = []
    for captures in (True, False):
        speaking = Engine(policy, Sampling(max_new_tokens=16), [], slots=2)
        speaking.runner.captures = captures
        flights = [speaking.add([1, 5], 0), speaking.add([1, 7], 1)]
        flights[1].limit = 4  # leaves a slot to the long one
        for _ in range(4):
            speaking.step()
        flights += [speaking.add(prompt, 2) for prompt in ([1, *range(4, 40)], [1, 6])]
        speaking.run()
        told.append([flight.token_ids for flight in flights])
    assert told[0] == told[1]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_every_architecture_can_be_captured(config, traced):
    policy = policy_of(model_of(config))
    assert said(policy, True, new=5, slots=64) == said(policy, False, new=5, slots=64)
    assert traced["played"]


def test_sizes_are_few_and_what_was_captured_of_one_storage_is_kept_together(policy, monkeypatch):
    """From 256 sequences on there are eight sizes up to twice as many; below, multiples of 32."""
    sizes, together = [], []

    class Step:
        def __init__(self, read, rows, device, others):
            sizes.append(rows)
            together.append(others)

        def __call__(self, token_n, length_n):
            return torch.zeros(sizes[-1], 32)

    monkeypatch.setattr(graphs, "_Step", Step)
    cache = SlotCache(2000, 64)
    steps = graphs.Graphs(policy.running, cache)
    for count in range(1, 2001):
        assert len(steps(torch.ones(count), torch.full((count,), 5))) == count
    assert sizes == [*range(32, 512, 32), *range(512, 1024, 64), *range(1024, 2000, 128), 2000]
    steps(torch.ones(3), torch.full((3,), 64))  # longer than there was room
    assert len({id(others) for others in together[:-1]}) == 1 and together[-1] is not together[0]


def test_a_step_reads_what_there_is_room_for_and_storage_stays_where_it_is(policy, traced, monkeypatch):
    """Broken on purpose: room rounded beyond the storage -> red, it grows to twice its size and moves."""
    speaking = Engine(policy, Sampling(max_new_tokens=40), [])
    speaking.runner.captures = True
    monkeypatch.setattr(graphs, "ROOM", 64)  # as it is outside of these tests
    for seed in range(3):
        speaking.add([1, *range(4, 53)], seed)
    speaking.step()
    (band,) = speaking.runner.storage.values()
    while speaking.scheduler.active:
        speaking.step()
    assert band.cache.capacity == 96 and {room for _, room in band.graphs.steps} == {64, 96}


def test_keys_and_values_are_free_as_soon_as_sampling_ends(policy, traced):
    """Broken on purpose: steps that know their graphs -> red, a circle that only the garbage collector breaks."""
    speaking = Engine(policy, Sampling(max_new_tokens=16), [])
    speaking.runner.captures = True
    speaking.add([1, 5], 0)
    for _ in range(4):
        speaking.step()
    gc.disable()
    try:
        kept = weakref.ref(next(iter(speaking.runner.storage.values())).cache)
        assert kept() is not None and traced["played"]
        del speaking
        assert kept() is None
    finally:
        gc.enable()


def test_positions_that_ask_the_device_are_not_captured():
    plain, dynamic = ({"rope_type": kind, "rope_theta": 1e4, "factor": 2.0} for kind in ("linear", "dynamic"))
    assert graphs.asks_the_device(LlamaConfig(rope_parameters=dynamic))
    assert not graphs.asks_the_device(LlamaConfig(rope_parameters=plain)) and not graphs.asks_the_device(GPT2Config())


def test_an_accelerator_takes_as_many_at_a_time_as_its_memory_holds(policy, traced):
    def at_once(budget):
        speaking = Engine(policy, Sampling(max_new_tokens=3), [])
        speaking.runner.captures, speaking.runner.cache_budget = True, budget
        for seed in range(300):
            speaking.add([1, 5], seed)
        speaking.step()
        return len(speaking.scheduler.active)

    one = policy.cache_bytes * 32 + 16 * policy.lm_inside.config.vocab_size
    assert at_once(2**31) == 300 and at_once(7 * one) == 7


def test_caches_take_their_share_of_an_accelerator(monkeypatch):
    class Properties:
        total_memory = 10**10

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    assert runner.cache_budget(torch.device("cuda")) == 4 * 10**9
    assert runner.cache_budget(torch.device("cpu")) == 2**31

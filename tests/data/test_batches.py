import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from truing.data.batches import Sequences, minibatches, shuffled, within_budget

PROMPTS, RESPONSES = [[1, 2, 3], [4], [5, 6]], [[7], [8, 9, 10, 11], [12, 13]]


def test_tokens_lie_prompt_then_response():
    tokens = Sequences.of(PROMPTS, RESPONSES)
    assert tokens.token_S.tolist() == [1, 2, 3, 7, 4, 8, 9, 10, 11, 5, 6, 12, 13]
    assert tokens.response_place_N.tolist() == [3, 5, 6, 7, 8, 11, 12]
    assert tokens.last_place_B.tolist() == [3, 8, 12]
    assert tokens.token_S[tokens.response_place_N].tolist() == tokens.token_N.tolist()


def test_a_long_prompt_is_read_once_for_all_its_responses():
    shared, other = list(range(20, 30)), list(range(40, 49))
    prompts, responses = [shared, [1, 2], other, shared, [1, 2]], [[3], [4, 5], [6], [7, 8], [9]]
    tokens = Sequences.of(prompts, responses)
    assert tokens.sharing == [[0, 3], [1], [2], [4]]
    assert tokens.token_S.tolist() == [*shared, 3, 7, 8, 1, 2, 4, 5, *other, 6, 1, 2, 9]
    assert tokens.pieces == ([10, 1, 2, 4, 10, 3], {1: 0, 2: 0})
    assert tokens.token_S[tokens.response_place_N].tolist() == tokens.token_N.tolist()
    assert tokens.token_S[tokens.before_place_N].tolist() == [29, 2, 4, 48, 29, 7, 2]
    assert tokens.token_S[tokens.last_place_B].tolist() == [3, 5, 6, 8, 9]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=12), st.integers(1, 60))
def test_parts_hold_each_sequence_once_within_the_budget_and_answers_to_a_prompt_together(rows, budget):
    known = [[1, 2], list(range(10)), list(range(12))]
    tokens = Sequences.of([known[which] for which, _ in rows], [[5] * length for _, length in rows])
    parts = [part.tolist() for part in tokens.parts(budget)]
    assert sorted(i for part in parts for i in part) == list(range(len(rows)))
    for part in parts:
        assert len(tokens.select(torch.tensor(part)).token_S) <= budget or len(part) == 1
    if len(tokens.token_S) <= budget:
        assert len(parts) == 1


def test_select_is_the_same_as_building_from_the_chosen_rows():
    chosen = [2, 0]
    picked = Sequences.of(PROMPTS, RESPONSES).select(torch.tensor(chosen))
    built = Sequences.of([PROMPTS[i] for i in chosen], [RESPONSES[i] for i in chosen])
    assert picked.token_S.tolist() == built.token_S.tolist()
    assert picked.lengths_B.tolist() == built.lengths_B.tolist()


def test_empty_sequences_are_refused():
    with pytest.raises(ValueError, match="response 1 has no tokens"):
        Sequences.of([[1], [2]], [[3], []])


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 120))
def test_within_budget_keeps_all_once_and_the_budget(lengths, budget):
    groups = [g.tolist() for g in within_budget(lengths, budget)]
    assert sorted(i for g in groups for i in g) == list(range(len(lengths)))
    for group in groups:
        assert sum(lengths[i] for i in group) <= budget or len(group) == 1


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 20), st.integers(0, 5))
def test_minibatches_go_through_whole_epochs_and_can_start_anywhere(count, size, steps, seed):
    whole = list(minibatches(count, size, steps, seed))
    assert all(len(batch) == size for batch in whole)
    flat = [i for batch in whole for i in batch]
    for start in range(0, len(flat) - count + 1, count):
        assert sorted(flat[start : start + count]) == list(range(count))
    first = steps // 2
    assert list(minibatches(count, size, steps, seed, first)) == whole[first:]


def test_shuffled_differs_between_epochs_and_seeds():
    orders = {tuple(shuffled(20, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9

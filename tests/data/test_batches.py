import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from truing.data.batches import Sequences, minibatches, rows_in, shuffled, within_budget

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


def test_what_is_learned_goes_with_its_tokens():
    tokens = Sequences.of(PROMPTS, RESPONSES, [[True], [True, False, False, True], [False, True]])
    assert tokens.select(torch.tensor([2, 1])).learned_N.tolist() == [False, True, True, False, False, True]
    assert Sequences.of(PROMPTS, RESPONSES).select(torch.tensor([0])).learned_N is None


def test_empty_sequences_are_refused():
    with pytest.raises(ValueError, match="response 1 has no tokens"):
        Sequences.of([[1], [2]], [[3], []])


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 120))
def test_within_budget_keeps_all_once_and_the_budget(lengths, budget):
    groups = [g.tolist() for g in within_budget(lengths, budget)]
    assert sorted(i for g in groups for i in g) == list(range(len(lengths)))
    for group in groups:
        assert sum(lengths[i] for i in group) <= budget or len(group) == 1


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 200), st.integers(0, 5))
def test_minibatches_read_each_row_once_a_pass_and_can_start_anywhere(count, size, rows, seed):
    whole = list(minibatches(count, size, rows, seed))
    assert all(len(batch) == size for batch in whole[:-1]) and 1 <= len(whole[-1]) <= size
    flat = [i for batch in whole for i in batch]
    assert len(flat) == rows
    for start in range(0, rows, count):
        one_pass = flat[start : start + count]
        assert len(set(one_pass)) == len(one_pass) == min(count, rows - start)
    first = len(whole) // 2
    assert list(minibatches(count, size, rows, seed, first)) == whole[first:]


def test_the_rest_that_fills_no_minibatch_is_read_too():
    """47 rows at 32: the other 15 were never read."""
    assert list(map(len, minibatches(47, 32, rows_in(1.0, 47), 0))) == [32, 15]
    assert list(map(len, minibatches(47, 32, rows_in(2.0, 47), 0))) == [32, 32, 30]
    assert list(map(len, minibatches(47, 32, rows_in(0.5, 47), 0))) == [24]
    assert list(map(len, minibatches(47, 32, rows_in(0.001, 47), 0))) == [1]


def test_shuffled_differs_between_epochs_and_seeds():
    orders = {tuple(shuffled(20, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9

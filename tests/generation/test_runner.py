import torch

from truing.generation import runner
from truing.generation.runner import Runner
from truing.generation.scheduler import Admitted, Band, InFlight, Move
from truing.models.attention import Packed
from truing.models.forward import trunk

PROMPTS = [(1, 5, 6), (1, 9), (1, 5, 6)]


def admitted_to(band, prompts=PROMPTS):
    for number, prompt in enumerate(prompts):
        band.active.append(InFlight(prompt=prompt, seed=number, limit=9, uniforms=[]))
    return [Admitted(sequence, band, slot) for slot, sequence in enumerate(band.active)]


def whole(policy, ids):
    """The last hidden state of a whole sequence, read at once."""
    return trunk(policy.running, torch.tensor(ids), Packed([len(ids)], policy.device))[-1]


@torch.inference_mode()
def test_what_is_read_piece_by_piece_is_what_the_whole_is_read_as(policy, monkeypatch):
    """Two bands; equal prompts are read once; one sequence moves. Broken on purpose: the move left out -> red."""
    tokens, given = [], runner.trunk

    def counted(lm, token_S, layout):
        tokens.append(len(token_S))
        return given(lm, token_S, layout)

    monkeypatch.setattr(runner, "trunk", counted)
    reading, one, other = Runner(policy), Band(3, 12), Band(2, 20)
    hidden_nD = reading.prefill([*admitted_to(one), *admitted_to(other, [(1, 7, 8, 9)])])
    assert tokens == [3 + 2 + 4]
    sequences = one.active + other.active
    for hidden_D, sequence in zip(hidden_nD, sequences, strict=True):
        torch.testing.assert_close(hidden_D, whole(policy, sequence.prompt), atol=1e-5, rtol=1e-5)
    for turn in range(3):
        for number, sequence in enumerate(one.active + other.active):
            sequence.token_ids.append(20 + 5 * turn + number)
        if turn == 1:  # the first of the three ends
            last = one.active.pop()
            one.active[0] = last
            reading.move([Move(one, 2, 0, last.length - 1)])
        hidden_nD = reading.decode([one, other])
        for hidden_D, sequence in zip(hidden_nD, one.active + other.active, strict=True):
            expected_D = whole(policy, [*sequence.prompt, *sequence.token_ids])
            torch.testing.assert_close(hidden_D, expected_D, atol=1e-5, rtol=1e-5)
    assert tokens[1:] == [4, 3, 3]


@torch.inference_mode()
def test_the_storage_of_a_band_that_is_empty_is_free_when_others_come(policy):
    reading, old, new = Runner(policy), Band(3, 12), Band(3, 12)
    reading.prefill(admitted_to(old))
    assert set(reading.storage) == {old}
    old.active.clear()
    reading.prefill(admitted_to(new))
    assert set(reading.storage) == {new}


def test_how_many_fit_by_hand(policy):
    """Keys and values of two layers take 256 bytes a token; 33 tokens have room for 64. Drawing takes 16 bytes for each
    token of the vocabulary, 48 where the distribution is cut."""
    reading, vocabulary = Runner(policy), policy.lm_inside.config.vocab_size
    assert policy.cache_bytes == 256 and reading.limits(None, False, 33) == (runner.SLOTS, runner.BAND)
    for truncates, drawn in ((False, 16), (True, 48)):
        one = 64 * 256 + drawn * vocabulary
        for budget, fitting in ((7 * one, 7), (7 * one - 1, 6), (1, 1)):
            reading.cache_budget = budget
            assert reading.limits(None, truncates, 33).sequences == fitting
            assert reading.limits(2, truncates, 33).sequences == min(2, fitting)

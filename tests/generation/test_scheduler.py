"""Who gets which slot, and when: no model, no tensor."""

from hypothesis import given
from hypothesis import strategies as st

from truing.generation.scheduler import Admitted, InFlight, Limits, Move, Scheduler


def scheduler_of(*prompts, sequences=4, of_a_band=4, prefill_tokens=100):
    """With prompts of so many tokens, waiting; equal ones are the same prompt."""
    scheduler = Scheduler(lambda longest: Limits(sequences, of_a_band), prefill_tokens)
    for number, length in enumerate(prompts):
        scheduler.add(InFlight(prompt=(1,) * length, seed=number, limit=8, uniforms=[]))
    return scheduler


def seeds(admitted):
    return [(sequence.seed, slot) for sequence, _, slot in admitted]


def test_what_waits_takes_the_free_slots_in_order():
    scheduler = scheduler_of(3, 4, 5, 6, 7)
    assert seeds(scheduler.admit()) == [(0, 0), (1, 1), (2, 2), (3, 3)] and len(scheduler.waiting) == 1
    assert scheduler.admit() == [] and scheduler.busy


def test_a_sequence_that_ends_is_replaced_by_the_last_of_its_band():
    scheduler = scheduler_of(3, 4, 5, 6)
    (band,) = {admitted.band for admitted in scheduler.admit()}
    first, second, third, last = band.active
    for sequence in (first, third):
        sequence.finish_reason = "stop"
    last.token_ids += [7, 8, 9]
    ended, moves = scheduler.release()
    # Slot 2 is emptied first, by the last; then slot 0, by the one that is last by then. What it holds of its nine
    # tokens: all but the newest, which has not been read.
    assert ended == [first, third]
    assert moves == [Move(band, 3, 2, 8), Move(band, 2, 0, 8)] and band.active == [last, second]
    assert scheduler.release() == ([], [])
    for sequence in (last, second):
        sequence.finish_reason = "length"
    assert scheduler.release() == ([second, last][::-1], []) and not scheduler.busy


def test_equal_prompts_are_counted_once_and_the_others_only_as_far_as_they_are_read_together():
    scheduler = scheduler_of(60, 60, 60, 50, 40, sequences=9, of_a_band=9)
    assert seeds(scheduler.admit()) == [(0, 0), (1, 1), (2, 2)]
    assert seeds(scheduler.admit()) == [(3, 3), (4, 4)]
    alone = scheduler_of(150, 3)  # one that is longer than the bound is read alone
    assert [seeds(alone.admit()), seeds(alone.admit())] == [[(0, 0)], [(1, 1)]]


def test_prompts_that_just_fill_the_bound_are_read_together():
    assert len(scheduler_of(60, 40, 1).admit()) == 2


def test_a_newcomer_goes_to_the_band_that_was_opened_last():
    scheduler = scheduler_of(9, 9, 2, 2, of_a_band=2)
    scheduler.admit()
    early, late = scheduler.bands
    early.active[0].finish_reason = late.active[0].finish_reason = "stop"
    scheduler.release()
    scheduler.add(InFlight(prompt=(1,), seed=9, limit=8, uniforms=[]))
    assert [admitted.band for admitted in scheduler.admit()] == [late]


def test_long_prompts_come_first_and_short_ones_have_a_band_of_their_own():
    scheduler = scheduler_of(3, 70, 5, 60, of_a_band=2, prefill_tokens=200)
    scheduler.longest_first()
    admitted = scheduler.admit()
    assert [len(sequence.prompt) for sequence, _, _ in admitted] == [70, 60, 5, 3]
    assert [(band.slots, band.room) for band in scheduler.bands] == [(2, 78), (2, 13)]


def test_a_band_has_no_more_slots_than_are_wanted_and_is_closed_when_it_is_empty():
    scheduler = scheduler_of(3, 3, 3, sequences=9, of_a_band=9)
    scheduler.admit()
    assert [band.slots for band in scheduler.bands] == [3]
    old = scheduler.bands[0]
    for sequence in old.active:
        sequence.finish_reason = "stop"
    scheduler.release()
    scheduler.add(InFlight(prompt=(1,), seed=9, limit=8, uniforms=[]))
    (admitted,) = scheduler.admit()
    assert scheduler.bands == [admitted.band] and admitted.band is not old


def test_the_limits_are_those_of_the_longest_sequence():
    asked = []

    def limits(longest):
        asked.append(longest)
        return Limits(100 // longest, 9)

    scheduler = Scheduler(limits, 100)
    for length in (42, 3):
        scheduler.add(InFlight(prompt=(1,) * length, seed=0, limit=8, uniforms=[]))
    assert len(scheduler.admit()) == 2 and asked == [50]


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 6)), max_size=30),
    st.integers(1, 7),
    st.integers(1, 4),
    st.integers(1, 20),
)
def test_whatever_comes_each_sequence_has_one_slot_and_its_keys_follow_it(wanted, sequences, of_a_band, prefill_tokens):
    """`stored` is what the storage of keys would hold. Broken on purpose: moves in another order, or one forgotten ->
    red, a slot holds another's keys."""
    scheduler = Scheduler(lambda longest: Limits(sequences, of_a_band), prefill_tokens)
    for number, (length, tokens) in enumerate(wanted):
        scheduler.add(InFlight(prompt=(1,) * length, seed=number, limit=tokens, uniforms=[]))
    stored, ended = {}, []

    def advance(active):
        for sequence in active:
            sequence.token_ids.append(0)
            sequence.finish_reason = "length" if len(sequence.token_ids) == sequence.limit else ""
        done, moves = scheduler.release()
        ended.extend(done)
        for band, source, target, length in moves:
            sequence = stored[band, source]
            assert length == len(sequence.prompt) + len(sequence.token_ids) - 1
            stored[band, target] = sequence
        for band in scheduler.bands:
            assert [stored[band, slot] for slot in range(len(band.active))] == band.active

    while scheduler.busy:
        admitted = scheduler.admit()
        assert all(isinstance(each, Admitted) for each in admitted) and len(scheduler.active) <= sequences
        stored |= {(band, slot): sequence for sequence, band, slot in admitted}
        assert all(len(band.active) <= band.slots <= of_a_band for band in scheduler.bands)
        advance([sequence for sequence, _, _ in admitted])
        advance(scheduler.active)
    assert sorted(sequence.seed for sequence in ended) == list(range(len(wanted)))

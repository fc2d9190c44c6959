from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds import chat, pair

CHOICE = {"verdict": "better", "winner": "a", "strength": 2}


def test_a_turn_is_judged_as_a_pair_is_and_the_end_says_nothing(given):
    assert kinds.EVENTS[chat.TURN] is pair.KIND and chat.KIND.turns and chat.KIND.criteria == pair.KIND.criteria
    stored = kinds.stored(chat.TURN, CHOICE | {"candidates": "set", "goes_on": "a"})
    assert stored == kinds.stored("pair", CHOICE)
    assert given.rows("chat", {"ended": True}, "") == given.records("chat", {"ended": True}, {}) == []


def test_a_choice_is_what_the_person_said():
    assert chat.choice({**CHOICE, "candidates": "set", "goes_on": "a"}) == CHOICE == chat.choice(CHOICE)

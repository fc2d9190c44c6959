import pytest

from truing.data.formats import _records_of
from truing.data.records import Comparison, Demonstration, Message, Prompt, Rating
from truing.data.validate import BadRow

SYSTEM, USER = Message("system", "You are a pirate."), Message("user", "Say hi.")
HISTORY = (Message("user", "Who are you?"), Message("assistant", "A pirate."))
WHOLE = Prompt((SYSTEM, *HISTORY, USER))
BEFORE = {"system": "You are a pirate.", "history": [["Who are you?", "A pirate."]]}
TURNS = [{"role": "user", "content": "Say hi."}]
SAID = [*TURNS, {"role": "assistant", "content": "Arr!"}]


@pytest.mark.parametrize(
    ("row", "made"),
    [
        ({"instruction": "Say hi.", "input": "", "output": "Arr!"}, Demonstration(WHOLE, "Arr!")),
        ({"instruction": "Say hi.", "chosen": "Arr!", "rejected": "Hi."}, Comparison(WHOLE, "Arr!", "Hi.")),
        ({"prompt": "Say hi."}, WHOLE),
        ({"prompt": TURNS, "completion": "Arr!"}, Demonstration(WHOLE, "Arr!")),
        ({"prompt": "Say hi.", "chosen": "Arr!", "rejected": "Hi."}, Comparison(WHOLE, "Arr!", "Hi.")),
        ({"question": "Say hi.", "chosen": "Arr!", "rejected": "Hi."}, Comparison(WHOLE, "Arr!", "Hi.")),
        ({"prompt": "Say hi.", "chosen": SAID, "rejected": [*TURNS, {**SAID[1], "content": "Hi."}]},
         Comparison(WHOLE, "Arr!", "Hi.")),
        ({"chosen": SAID, "rejected": [*TURNS, {**SAID[1], "content": "Hi."}]}, Comparison(WHOLE, "Arr!", "Hi.")),
        ({"messages": SAID}, Demonstration(WHOLE, "Arr!")),
        ({"conversations": [{"from": "human", "value": "Say hi."}, {"from": "gpt", "value": "Arr!"}]},
         Demonstration(WHOLE, "Arr!")),
        ({"conversations": [{"from": "human", "value": "Say hi."}], "chosen": {"from": "gpt", "value": "Arr!"},
          "rejected": {"from": "gpt", "value": "Hi."}}, Comparison(WHOLE, "Arr!", "Hi.")),
        ({"input": "Say hi.", "output": "Arr!"}, Demonstration(WHOLE, "Arr!")),
    ],
)  # fmt: skip
def test_a_system_message_and_earlier_turns_in_columns_of_their_own_come_before_the_prompt(row, made):
    """Was: they were dropped without a word, and two prompts became one with contradicting judgements."""
    assert _records_of(BEFORE | row) == [made]
    assert _records_of({"system_prompt": BEFORE["system"], "history": BEFORE["history"]} | row) == [made]


def test_columns_before_the_prompt_may_be_empty_or_say_what_it_begins_with():
    plain, told = Prompt((USER,)), Prompt((SYSTEM, USER))
    for before in ({"system": ""}, {"system": " ", "history": []}, {"system": None, "history": None}):
        assert _records_of(before | {"prompt": "Say hi."}) == [plain]
    turns = [{"role": "system", "content": SYSTEM.content}, *TURNS]
    assert _records_of({"system": SYSTEM.content, "prompt": turns}) == [told]
    as_messages = [{"role": m.role, "content": m.content} for m in HISTORY]
    assert _records_of({"history": as_messages, "system": SYSTEM.content, "prompt": "Say hi."}) == [WHOLE]


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ({"system": 3}, '"system" must be a text, not 3'),
        ({"system": "Be kind.", "system_prompt": "Be rude."}, "two system messages"),
        ({"system": "Be kind.", "history": [{"role": "system", "content": "Be rude."}]}, "two system messages"),
        ({"history": "Who are you?"}, '"history" must be a list of messages'),
        ({"history": [["Who are you?"]]}, '"history" must be pairs'),
        ({"history": [["Who are you?", 3]]}, '"history" must be pairs'),
        ({"tags": "sum"}, '"tags" must be a list of texts'),
    ],
)
def test_what_stands_before_a_prompt_and_is_not_understood_is_named(before, reason):
    with pytest.raises(BadRow) as caught:
        _records_of({"prompt": "Say hi.", **before})
    assert reason in str(caught.value)


@pytest.mark.parametrize("label", [True, False, 1, 0, 1.0])
@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Say hi.", "completion": "Arr!"},
        {"prompt": "Say hi.", "response": "Arr!"},
        {"instruction": "Say hi.", "output": "Arr!"},
        {"input": "Say hi.", "output": "Arr!"},
        {"messages": SAID},
    ],
)
def test_a_labelled_answer_is_a_judgement_and_no_demonstration(row, label):
    """Was: but for `completion`, an answer labelled as a bad one was learned from as it is."""
    made = Rating(Prompt((USER,)), "Arr!", float(label), 0.0, 1.0)
    assert _records_of({**row, "label": label}) == _records_of({**row, "kto_tag": label}) == [made]
    for wrong in ("yes", 2, 10**400):
        with pytest.raises(BadRow, match='"label" must be true or false'):
            _records_of({**row, "label": wrong})


@pytest.mark.parametrize(("key", "said"), [("prompt", "completion"), ("input", "output"), ("instruction", "output")])
def test_an_answer_beside_a_preference_counts_too(key, said):
    """Was: TRL's and OpenRLHF's rows lost it without a word."""
    asked = Prompt((USER,))
    found = _records_of({key: "Say hi.", "chosen": "a", "rejected": "b", said: "c"})
    assert found == [Comparison(asked, "a", "b"), Demonstration(asked, "c")]


@pytest.mark.parametrize("key", ["prompt", "input", "instruction"])
def test_who_judged_by_what_and_how_much_it_weighs_is_read(key):
    row = {key: "Say hi.", "chosen": "a", "rejected": "b", "margin": 2, "weight": 0.5, "split": "test", "tags": ["x"]}
    asked = Prompt((USER,), split="test", tags=("x",))
    (made,) = _records_of(row | {"criterion": "kind", "annotator": 7})
    assert made == Comparison(asked, "a", "b", margin=2.0, weight=0.5, criterion="kind", annotator="7")
    assert _records_of({key: "Say hi.", "split": "train_prefs"}) == [Prompt((USER,))]
    for wrong, reason in (
        ({"weight": -1}, '"weight" must be 0'),
        ({"criterion": ["kind"]}, '"criterion" must be a te'),
    ):
        with pytest.raises(BadRow, match=reason):
            _records_of(row | wrong)

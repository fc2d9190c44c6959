import pytest

from truing.data.records import Message, Prompt, Response
from truing.errors import UserError
from truing.rewards.function import function_reward, load_function

PROMPT = Prompt((Message("user", "say cat"),))


def test_function_of_texts_and_of_records(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "def length(prompt, response):\n    return len(prompt) + 100 * len(response)\n"
        "def tokens(prompt: 'Prompt', response: 'Response'):\n    return len(response.token_ids)\n"
        "def mixed(prompt: 'Prompt', response: str):\n    return len(prompt.messages) + 100 * len(response)\n"
    )
    answers = [Response("cat", token_ids=(1, 2)), Response("dogs")]
    assert function_reward(load_function(f"{file}:length"))([PROMPT] * 2, answers) == [307, 407]
    assert function_reward(load_function(f"{file}:tokens"))([PROMPT] * 2, answers) == [2, 0]
    assert function_reward(load_function(f"{file}:mixed"))([PROMPT] * 2, answers) == [301, 401]
    with pytest.raises(UserError, match='no function lenght; did you mean "length"'):
        load_function(f"{file}:lenght")


@pytest.mark.parametrize(
    ("name", "said"),
    [("nothing.py:f", "there is no file"), ("no.such.module:f", "cannot be imported"), ("plain", "write it as")],
)
def test_names_that_lead_nowhere(name, said):
    with pytest.raises(UserError, match=said):
        load_function(name)


def test_module_functions_are_found():
    assert load_function("math:hypot")(3, 4) == 5


def test_a_file_may_hold_dataclasses_with_postponed_annotations(tmp_path):
    """dataclasses looks such annotations up in sys.modules: a file loaded past the import system was not there."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Scale:\n    by: float = 2\n"
        "def length(prompt, response):\n    return Scale().by * len(response)\n"
    )
    assert load_function(f"{file}:length")("", "cat") == 6

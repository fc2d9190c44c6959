import json
from dataclasses import replace

import pytest

from truing.data.prompts import distinct_prompts, with_room
from truing.data.records import Message, Prompt
from truing.data.settings import DataSettings
from truing.errors import UserError

PROMPTS = [Prompt((Message("user", text),)) for text in ("The cat", "What colour?", "A bird sang")]


def test_each_prompt_comes_once_and_only_the_first_where_they_are_counted(chat, tmp_path):
    path, other = tmp_path / "prompts.jsonl", tmp_path / "more.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": p.text}) for p in (*PROMPTS, PROMPTS[0])))
    other.write_text(json.dumps({"prompt": PROMPTS[1].text}))
    inputs = DataSettings((str(path), str(other)))
    assert [p.text for p in distinct_prompts(inputs, print, chat.check)] == [p.text for p in PROMPTS]
    assert len(distinct_prompts(inputs, print, chat.check, 2)) == 2
    asked = []

    def read(*given):
        asked.append(given)
        return PROMPTS

    assert distinct_prompts(inputs, print, chat.check, read=read) == PROMPTS
    assert distinct_prompts(replace(inputs, strict=True), print, chat.check, read=read) == PROMPTS
    assert asked == [(inputs.data, (Prompt,), strict, print, chat.check) for strict in (False, True)]


def test_prompts_that_leave_no_room_are_told_and_left_out(chat):
    long, told = Prompt((Message("user", "cat " * 200),)), []
    assert with_room([*PROMPTS, long], chat, 96, told.append) == PROMPTS
    assert len(told) == 1 and "1 of 4 prompts" in told[0] and long.id in told[0] and "context of 96" in told[0]
    assert with_room(PROMPTS, chat, 96, told.append) == PROMPTS and len(told) == 1
    most = max(len(chat.prompt_ids(p.messages)) for p in PROMPTS)
    assert with_room(PROMPTS, chat, most + 1, told.append) == PROMPTS  # one token of an answer is room enough
    assert len(with_room(PROMPTS, chat, most, told.append)) < 3
    for some, strict in (([long], False), ([*PROMPTS, long], True)):
        with pytest.raises(UserError, match="shorten them"):
            with_room(some, chat, 96, told.append, strict)

from pathlib import Path

import pytest

from truing.errors import UserError
from truing.feedback import label
from truing.feedback.label import Config
from truing.loop import live
from truing.models.weights import checkpoint_hash


def test_a_model_that_is_no_address_answers_in_this_process(tiny_model, monkeypatch):
    """Red when its settings are not handed on."""
    handed = []
    monkeypatch.setattr(label, "serve", lambda config, local: handed.append((config, local)))
    config = Config(model=(tiny_model,), temperature=0.5, max_new_tokens=3)
    live.serve(config)
    ((given, local),) = handed
    reply, known_by = local(tiny_model)
    assert given is config and known_by == checkpoint_hash(Path(tiny_model))
    assert (reply.sampling.temperature, reply.sampling.max_new_tokens) == (0.5, 3)


def test_a_model_that_is_not_there_is_refused_before_the_page_opens_or_a_store_is_made(tmp_path, monkeypatch):
    """Red when it is loaded only once somebody waits for its answer."""
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "hi?"}')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="model nowhere: there is no such folder"):
        live.serve(Config(model=("nowhere",), prompts=("prompts.jsonl",), port=0))
    assert not (tmp_path / "feedback.db").exists()

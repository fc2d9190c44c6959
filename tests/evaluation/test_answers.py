from tests.fakes import FakeGenerator

from truing.data.records import Message, Prompt
from truing.evaluation.answers import generate_watched
from truing.generation.records import generate, requests
from truing.generation.sampling import Sampling
from truing.runs import progress


def test_who_waits_sees_how_many_answers_are_there(chat, monkeypatch, capsys):
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    asked, sampling = requests([Prompt((Message("user", "hi"),))] * 3, 2, 0), Sampling(max_new_tokens=4)
    generated = generate_watched(FakeGenerator(), chat, asked, sampling, "of mine")
    assert generated.responses == generate(FakeGenerator(), chat, asked, sampling).responses
    told = capsys.readouterr().err
    assert "of mine" in told and "6 of 6" in told

import pytest

from truing.errors import UserError
from truing.loop.bench import Config, advice, measure, show
from truing.models.loading import load_policy


def test_all_figures_are_measured_and_none_beats_the_machine(tiny_model, capsys):
    figures = measure(Config(sequences=2, turns=1), load_policy(tiny_model))
    assert all(value > 0 for value in figures.values())
    assert figures["learn_share"] < 1 and figures["sample_share"] < 1
    assert show(Config(model=tiny_model, sequences=1, turns=1)).keys() == figures.keys()
    assert "->" in capsys.readouterr().out


def test_advice_names_what_to_change():
    figures = {"sample_share": 0.02, "learn_share": 0.1}
    told = " ".join(advice(figures, Config(), 288))
    assert "prompts-per-iteration" in told and "budget_tokens" in told
    with pytest.raises(UserError, match="turns = 0"):
        Config(turns=0)

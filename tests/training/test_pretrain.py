import json

import pytest

from truing.errors import UserError
from truing.models.loading import load_tokenizer
from truing.settings import configured
from truing.training.optimize import Learning
from truing.training.pretrain import Config, build, train, train_tokenizer, windows

pytestmark = pytest.mark.usefixtures("metrics_are_documented")

TEXT = "A lemon is yellow. Grass is green. "


def test_any_text_can_be_written_and_comes_back():
    tokenizer = train_tokenizer([TEXT], 300)
    for text in ("A lemon", "ünïcödé ✓ 漢字", "<tag> & \t tabs"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}) == 3


def test_windows_cover_every_token_once():
    tokenizer = train_tokenizer([TEXT], 300)
    texts = [TEXT, TEXT * 3]
    flat = [i for window in windows(texts, tokenizer, 16) for i in window]
    expected = [i for t in texts for i in (tokenizer.bos_token_id, *tokenizer(t)["input_ids"], tokenizer.eos_token_id)]
    assert flat == expected[: len(flat)] and len(expected) - len(flat) <= 1


def test_build_has_the_size_asked_for():
    tokenizer = train_tokenizer([TEXT], 300)
    lm = build(configured(Config, data=("x",), width=32, layers=3, heads=2, context=40), tokenizer).lm_inside
    assert (lm.config.hidden_size, lm.config.num_hidden_layers, lm.config.max_position_embeddings) == (32, 3, 40)
    same = build(configured(Config, data=("x",), width=32, layers=3, heads=2, context=40), tokenizer).lm_inside
    other = build(configured(Config, data=("x",), width=32, layers=3, heads=2, context=40, seed=1), tokenizer).lm_inside
    assert (lm.lm_head.weight == same.lm_head.weight).all() and not (lm.lm_head.weight == other.lm_head.weight).all()


def test_a_small_model_learns_its_text(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT * 200)
    config = configured(
        Config, data=(str(tmp_path / "text.txt"),), out=str(tmp_path / "run"), vocabulary=300, width=32, layers=2,
        heads=2, context=32, epochs=4, batch_size=4, held_out=0.1, learning=Learning(lr=1e-2),
    )  # fmt: skip
    summary = train(config).summary
    assert summary == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["held_out_loss"] < 0.3 * summary["held_out_loss_before"]
    assert load_tokenizer(str(tmp_path / "run")).chat_template
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == summary["updates"] and rows[0]["step"] == 1


@pytest.mark.parametrize(
    ("name", "value"), [("vocabulary", 10), ("width", 0), ("layers", 0), ("heads", 3), ("context", 1), ("epochs", 0)]
)
def test_impossible_settings_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"^{name} = "):
        configured(Config, data=("x",), **{name: value})

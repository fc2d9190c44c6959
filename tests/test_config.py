"""Settings: what is dumped is loaded; flags win over the file; a mistake is one line that names file and key."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.config import load, parse
from truing.errors import UserError
from truing.settings import to_toml


@dataclass(frozen=True)
class Learning:
    """How weights move."""

    lr: float = 1e-5
    """Peak learning rate."""
    schedule: Literal["constant", "linear"] = "linear"
    """What the rate does."""

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise UserError(f"lr = {self.lr!r}: it must be above 0")


@dataclass(frozen=True)
class Config:
    """A stage."""

    model: str
    """What to start from."""
    data: tuple[str, ...]
    """Files to read."""
    epochs: float = 1.0
    """Passes over them."""
    batch_size: int = 8
    """Rows in one update."""
    limit: int | None = None
    """Most rows."""
    stops: tuple[int, ...] = ()
    """Token ids."""
    override: dict[str, float] = field(default_factory=dict)
    """Numbers to replace."""
    learning: Learning = field(default_factory=lambda: Learning(lr=0.003))
    """How weights move."""
    strict: bool = False
    """Stop at the first bad row."""

    def __post_init__(self) -> None:
        if self.epochs <= 0:
            raise ValueError(f"epochs = {self.epochs!r}: it must be above 0")


NEEDED = ["--model", "m", "--data", "a", "b"]


def said(*argv: str) -> Config:
    return parse(Config, argv, "truing sft", "Fine-tune.")


def refusal(*argv: str) -> str:
    with pytest.raises(UserError) as caught:
        said(*argv)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def toml(tmp_path: Path, text: str, needed: bool = True) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(('model = "m"\ndata = ["a"]\n' if needed else "") + text)
    return path


def load_refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(Config, path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1)
numbers = st.floats(min_value=1e-9, allow_nan=False, allow_infinity=False)


@given(
    st.builds(
        Config,
        model=texts,
        data=st.lists(texts, min_size=1).map(tuple),
        epochs=numbers,
        batch_size=st.integers(-(2**53), 2**53),
        limit=st.none() | st.integers(0, 9),
        stops=st.lists(st.integers(0, 99)).map(tuple),
        override=st.dictionaries(texts, numbers),
        learning=st.builds(Learning, lr=numbers, schedule=st.sampled_from(["constant", "linear"])),
        strict=st.booleans(),
    )
)
def test_load_reads_what_dump_wrote(tmp_path_factory: pytest.TempPathFactory, config: Config) -> None:
    path = tmp_path_factory.mktemp("dump") / "c.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert load(Config, path) == config


def test_flags_alone() -> None:
    config = said(
        *NEEDED, "--learning.lr", "1", "--batch-size", "3", "--strict", "--override", "clip", "0.3", "lam", "1"
    )
    learning = Learning(lr=1.0)
    assert config == Config(
        "m", ("a", "b"), batch_size=3, strict=True, override={"clip": 0.3, "lam": 1.0}, learning=learning
    )


def test_the_file_first_then_the_flags(tmp_path: Path) -> None:
    path = toml(tmp_path, 'epochs = 2\nlimit = 5\n[learning]\nschedule = "constant"\n[override]\nclip = 1\n')
    config = said("--epochs=3", "--config", str(path), "--learning.lr", "0.5")
    assert config.data == ("a",)
    assert config.epochs == 3.0 and config.limit == 5
    assert config.learning == Learning(0.5, "constant")
    assert config.override == {"clip": 1.0}
    assert said(f"--config={path}", "--override", "lam", "0.9").override == {"lam": 0.9}
    assert said("--config", str(path)).learning.lr == 0.003, "what the file does not say keeps the stage's own default"


def test_the_settings_of_a_run_are_a_config_file(tmp_path: Path) -> None:
    path = toml(tmp_path, "")
    path.write_text('stage = "sft"\n' + path.read_text())
    assert said("--config", str(path)).model == "m"
    with pytest.raises(UserError, match='stage = "sft": these are settings of another stage than rl'):
        parse(Config, ["--config", str(path)], "truing rl")


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("epoch = 2", 'epoch: there is no such key; did you mean "epochs"?'),
        ("[learning]\nschedul = 1.0", 'learning.schedul: there is no such key; did you mean "schedule"?'),
        ('batch_size = "3"', "batch_size = '3': it must be a valid integer"),
        ("batch_size = 3.5", "batch_size = 3.5: it must be a valid integer"),
        ("batch_size = true", "batch_size = True: it must be a valid integer"),
        ("strict = 1", "strict = 1: it must be a valid boolean"),
        ("stops = 3", "stops = 3: it must be a list"),
        ("stops = [1, 2.5]", "stops[1] = 2.5: it must be a valid integer"),
        ('[override]\nclip = "x"', "override.clip = 'x': it must be a valid number"),
        ('[learning]\nschedule = "cos"', "learning.schedule = 'cos': it must be 'constant' or 'linear'"),
        ("learning = 3", "learning = 3: this is a table of settings, [learning]"),
        ("[learning]\nlr = -1", "learning: lr = -1.0: it must be above 0"),
        ("epochs = 0", "epochs = 0.0: it must be above 0"),
        ("epochs = x", "this is not TOML: Invalid value (at line 3, column 10)"),
    ],
)
def test_a_bad_file_is_one_line_with_file_and_key(tmp_path: Path, text: str, complaint: str) -> None:
    path = toml(tmp_path, text)
    assert load_refusal(path).startswith(complaint)
    assert refusal("--config", str(path)).startswith(f"{path}: {complaint}")


def test_a_file_that_says_too_little(tmp_path: Path) -> None:
    assert load_refusal(toml(tmp_path, 'model = "m"', needed=False)) == "data is missing, and it has no default"
    assert load_refusal(toml(tmp_path, 'model = "m"\ndata = []', False)) == "data = []: it must be one value at least"
    assert load_refusal(tmp_path / "none.toml") == "cannot be read: No such file or directory"
    assert load_refusal(tmp_path) == f"this is a folder: name a TOML file, such as {tmp_path}/config.toml of a run"


def test_a_flag_mends_what_the_file_says_wrong(tmp_path: Path) -> None:
    path = toml(tmp_path, "epochs = 0")
    assert said("--config", str(path), "--epochs", "2").epochs == 2
    assert refusal("--config", str(path), "--epochs", "-1") == "truing sft: epochs = -1.0: it must be above 0"


@pytest.mark.parametrize(
    "argv, complaint",
    [
        (["--model", "m"], "truing sft needs --data (or data in a --config file); truing sft --help explains it"),
        ([*NEEDED, "--epoch", "3"], 'truing sft: there is no --epoch; did you mean "epochs"?'),
        ([*NEEDED, "--batch_sise", "3"], 'truing sft: there is no --batch-sise; did you mean "batch-size"?'),
        ([*NEEDED, "--lrr=3"], "truing sft: there is no --lrr; "),
        ([*NEEDED, "--learning.rl=3"], 'truing sft: there is no --learning.rl; did you mean "learning.lr"?'),
        ([*NEEDED, "--epochs", "many"], "truing sft: --epochs: could not convert string to float: 'many'"),
        ([*NEEDED, "--epochs", "0"], "truing sft: epochs = 0.0: it must be above 0"),
        ([*NEEDED, "--learning.lr", "-1"], "truing sft: learning.lr = -1.0: it must be above 0"),
        ([*NEEDED, "--learning.schedule", "cos"], "truing sft: invalid choice 'cos' for argument"),
        ([*NEEDED, "--epochs"], "truing sft: Missing value for argument '--epochs'"),
        (["stray", *NEEDED], "truing sft: not understood: stray"),
        (["--model", "m", "--data"], "truing sft: data = []: it must be one value at least"),
        ([*NEEDED, "--config"], "truing sft: --config takes one TOML file, once"),
    ],
)
def test_a_bad_flag_is_one_line(argv: list[str], complaint: str) -> None:
    assert refusal(*argv).startswith(complaint)


def test_a_seed_counts_from_zero(tmp_path: Path) -> None:
    from truing.loop import sample

    for seed in ("-1", "1753260000000000000", "1" + "0" * 41):
        with pytest.raises(UserError, match=rf"^truing sample: seed = {seed}: it must be 0 or more, and below 2\^32$"):
            parse(sample.Config, ["--model", "m", "--data", "d", "--out", "o", "--seed", seed], "truing sample")
    (tmp_path / "s.toml").write_text('model = "m"\ndata = ["d"]\nout = "o"\nseed = -7\n')
    with pytest.raises(UserError, match=r"s\.toml: seed = -7"):
        load(sample.Config, tmp_path / "s.toml")


@pytest.mark.parametrize(
    ("flag", "value", "rule"),
    [
        ("learning.lr", "1e400", r"learning\.lr = inf: it must be finite"),
        ("sampling.temperature", "nan", r"sampling\.temperature = nan: it must be"),
        ("prompts_per_iteration", "1" + "0" * 23, r"prompts_per_iteration = 10+: it must be 2\^53 at most"),
    ],
)
def test_numbers_are_finite_and_no_larger_than_what_is_counted(flag: str, value: str, rule: str) -> None:
    from truing.training import policy

    with pytest.raises(UserError, match=rule):
        parse(policy.Config, ["--model", "m", "--data", "d", "--reward", "exact", f"--{flag}", value], "truing rl")


def test_help_teaches_each_field_and_needs_no_value(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        said("--config", str(toml(tmp_path, "epochs = 7")), "--help")
    assert not stop.value.code
    out = capsys.readouterr().out
    for text in ("Fine-tune.", "--config FILE", "What to start from.", "--learning.lr", "Peak learning rate.", "7.0"):
        assert text in out


def test_the_table_of_a_flag_may_be_left_out():
    assert said(*NEEDED, "--lr", "0.25").learning.lr == said(*NEEDED, "--learning.lr=0.25").learning.lr == 0.25


def test_a_flag_of_several_values_may_be_repeated(tmp_path: Path) -> None:
    """Broken on purpose: as tyro has it -> red, the last one alone counts and nothing is said."""
    argv = ["--data", "a", "--override", "x", "1", "--model", "m", "--override", "y", "2", "--override", "x", "3"]
    config = parse(Config, [*argv, "--data=b", "--data", "c", "d"], "truing sft")
    assert config.data == ("a", "b", "c", "d") and config.override == {"x": 3.0, "y": 2.0}
    file = tmp_path / "config.toml"
    file.write_text('model = "m"\ndata = ["a"]\n[override]\nx = 1.0\nz = 0.5\n')
    config = parse(Config, ["--config", str(file), "--override", "x", "2", "--data", "b"], "truing sft")
    assert config.override == {"x": 2.0} and config.data == ("b",)  # as any flag they win over the file

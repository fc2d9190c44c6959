# One command each, the same on a laptop and in CI. All of them set up what they need.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test check docs clean

setup: .venv/ready

# Without a GPU the pinned torch is a small build for the processor; the package itself only asks for torch>=2.10.
.venv/ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	command -v nvidia-smi >/dev/null 2>&1 || $(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch .venv/ready

demo: setup
	$(BIN)/truing demo --fresh

test: setup
	@# one thread a worker: two workers share the cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	$(BIN)/python docs/generate.py

clean:
	rm -rf .venv runs .pytest_cache .mypy_cache .ruff_cache .hypothesis

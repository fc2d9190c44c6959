# One command each, the same on a laptop and in CI. All of them set up what they need.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test nightly check replay size audit docs clean

setup: .venv/ready

# Without a GPU the pinned torch is a small build for the processor; the package itself only asks for torch>=2.10.
.venv/ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	command -v nvidia-smi >/dev/null 2>&1 || $(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch .venv/ready

demo: setup
	@# one broken off goes on, a finished one is made again
	$(BIN)/truing demo $$(test -e runs/demo/summary.json && echo --fresh)

test: setup
	@# one thread a worker: two workers share the cores; files in their order, for the slow ones come early
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# What takes minutes. PART=architectures runs tests/nightly/test_architectures.py alone.
nightly: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -rs tests/nightly$(if $(PART),/test_$(PART).py)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Whether each stage computes what it did at a commit: make replay REV=HEAD before a commit that should change no figure.
replay: setup
	@test -n "$(REV)" || { echo "make replay REV=<commit>: the commit to compare with is missing" >&2; exit 2; }
	$(BIN)/python -m benchmarks.replay "$(REV)"

# How the source reads, counted; REV=<commit> counts that commit beside it.
size: setup
	@$(BIN)/python -m benchmarks.size $(if $(REV),"$(REV)")

# Known faults of the libraries. The service is elsewhere: where it cannot be reached, that is said and nothing fails.
audit: setup
	$(BIN)/pip install --quiet pip-audit
	@told=$$($(BIN)/pip-audit --skip-editable --progress-spinner off 2>&1); code=$$?; echo "$$told"; \
	if echo "$$told" | grep -qE "could not be audited: transformers|onnection|resolve|timed out|Max retries"; then \
	  echo "not audited: the service that knows the faults did not answer"; exit 0; fi; exit $$code

docs: setup
	$(BIN)/python docs/generate.py

clean:
	rm -rf .venv runs .pytest_cache .mypy_cache .ruff_cache .hypothesis

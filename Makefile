# Two commands do everything on a machine with Python 3.10+, pip and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# The lower bounds in pyproject.toml, as pins: torch==2.6 torchvision==0.21 ... They are for Python 3.10 and 3.11.
OLDEST_VENV := .venv-oldest
OLDEST_INSTALLED := $(OLDEST_VENV)/.installed
OLDEST = sed -nE '/^(dependencies|demo|metrics) = /{s/^[^[]*\[(.*)\]/\1/;s/[",]/ /g;s/>=/==/g;p;}' pyproject.toml

DIST_VENV := .venv-dist

.PHONY: help install demo demo-vlm test test-timm-oldest oldest-pins census stress interrupts mutants test-train test-peers bench models options results docs site-test dist-test coverage lint format clean

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Installs again only when pyproject.toml has changed; the package itself is installed in editable form.
$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

install: $(INSTALLED)  ## Make .venv and install the package with everything that development needs.

demo: $(INSTALLED)  ## Train a small ViT with MergeMix and with Mixup+CutMix; writes demo/.
	$(BIN)/timm-mergemix demo --out demo --report

demo-vlm: $(INSTALLED)  ## Train a small LLaVA on questions with and without the preference; writes demo-vlm/, takes ten minutes.
	$(BIN)/timm-mergemix demo --vlm --out demo-vlm --report

test: $(INSTALLED)  ## Run the tests, one process for each core.
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

$(OLDEST_INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/python -m pip install --quiet --editable . $$($(OLDEST)) pytest hypothesis
	@touch $@

oldest-pins:
	@$(OLDEST)

test-timm-oldest: $(OLDEST_INSTALLED)  ## Run the tests with the oldest timm, torch and others that are supported.
	$(OLDEST_VENV)/bin/python -m pytest

census: $(INSTALLED)  ## Check every plain transformer of timm, made small, and read all other models; takes minutes.
	$(BIN)/python -m tools.census
	$(BIN)/python -m tools.read_sweep

stress: $(INSTALLED)  ## Share one model of each family among threads and tasks, and check each call; takes an hour.
	$(BIN)/python -m tools.stress

interrupts: $(INSTALLED)  ## Interrupt patch, unpatch, saliency, merging and record at random moments; takes minutes.
	$(BIN)/python -m tools.interrupts

mutants: $(INSTALLED)  ## Put small faults into the core, each against the tests of its module; takes half an hour.
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.mutants

test-train: $(INSTALLED)  ## Run the launcher against real train.py scripts: TIMM_TRAIN_PY=/path make test-train; takes minutes.
	@test -n "$$TIMM_TRAIN_PY" || { echo "TIMM_TRAIN_PY is not set: the path of timm's train.py, or several with colons between"; exit 2; }
	$(BIN)/python -m tools.train_matrix

# Tests of others import packages that nothing else here needs.
test-peers: $(INSTALLED)  ## Run the tests of timm, peft, accelerate and transformers on patched models: TIMM_TESTS=/path/tests make test-peers; takes hours.
	@test -n "$$TIMM_TESTS$$PEFT_TESTS$$ACCELERATE_TESTS$$TRANSFORMERS_TESTS" || { echo "set TIMM_TESTS, PEFT_TESTS, ACCELERATE_TESTS or TRANSFORMERS_TESTS: folders of their tests"; exit 2; }
	$(BIN)/python -m pip install --quiet peft diffusers datasets httpx parameterized requests
	$(BIN)/python -m tools.peers

bench: $(INSTALLED)  ## Measure merging and mixing against their floor; writes bench/, takes minutes on a quiet machine.
	$(BIN)/python -m benchmarks.speed --out bench

models: $(INSTALLED)  ## Look at every model of timm; writes docs/models.md, takes minutes.
	$(BIN)/python -m tools.models_page

options: $(INSTALLED)  ## Write docs/reference/options.md from the code.
	$(BIN)/python -m tools.options_page

results: $(INSTALLED)  ## Write the tables and pictures of README.md and of the pages of evidence from benchmarks/results.
	$(BIN)/python -m benchmarks.choosing_r_page
	$(BIN)/python -m benchmarks.results_page
	$(BIN)/python -m benchmarks.performance_page
	$(BIN)/python -m benchmarks.questions_page

docs: $(INSTALLED)  ## Build the documentation into site/; warnings are errors.
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The browser is Playwright's, the system's (Debian: apt install chromium), or the one that CHROMIUM names.
site-test: docs  ## Build the site, and open every page of it in headless Chromium; takes minutes.
	$(BIN)/python -m pip install --quiet 'playwright>=1.48'
	$(BIN)/python -m tools.site_check site

# Needs nothing of .venv. The environment that builds is thrown away: `build` is no dependency of the package.
dist-test:  ## Build wheel and sdist, and try each in a clean environment; takes minutes.
	rm -rf dist && $(PYTHON) -m venv --clear $(DIST_VENV)
	$(DIST_VENV)/bin/python -m pip install --quiet build
	$(DIST_VENV)/bin/python -m build --outdir dist . > /dev/null
	$(DIST_VENV)/bin/python tests/dist/archives.py dist
	$(PYTHON) -m venv --clear $(DIST_VENV)
	set -e; for file in dist/*.whl dist/*.tar.gz; do \
		$(DIST_VENV)/bin/python -m pip install --quiet --force-reinstall --no-deps $$file; \
		$(DIST_VENV)/bin/python -m pip install --quiet $$file; \
		(cd $(DIST_VENV) && bin/python ../tests/dist/smoke.py); \
	done
	rm -rf $(DIST_VENV)

coverage: $(INSTALLED)  ## Run the tests with line coverage.
	$(BIN)/python -m pytest --cov --cov-report=term-missing

lint: $(INSTALLED)  ## ruff and mypy.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)  ## Sort imports and format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove what the other targets made.
	rm -rf $(VENV) $(OLDEST_VENV) $(DIST_VENV) demo demo-vlm bench site build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage

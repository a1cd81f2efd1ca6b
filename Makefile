# Everything here runs on a fresh Debian 12 (root, Python 3.11): what is missing is installed first.
# PYTHON, ARGS, WORKERS (processes that test; 0: this one) and VENV can be set: make run ARGS=--once
# So can what milter/image/build and engine name: make images ENGINE=podman TAG=1 REGISTRY=registry.example.com/mail

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
RUNBOOKS ?=
WORKERS ?= 3
BIN = $(VENV)/bin
K8S_SCRIPTS = $(shell grep -rlE '^.!/bin/(ba)?sh' k8s)
IMAGE_SCRIPTS = $(addprefix milter/image/,base build engine environment lock packages user)
# pymilter is compiled against libmilter; the import paths of the trial instance, the tests and the benches follow.
export PYTHON
export PYTHONPATH = $(CURDIR)/postfix:$(CURDIR)/tests
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: run test lint format bench images base-image lock rules system-run system-test clean

run: system-run $(VENV)/.installed  ## a private Postfix with the gate in front, and a conversation
	$(BIN)/python -m trial.demo $(ARGS)

test: system-test $(VENV)/.installed $(BIN)/kubectl  ## the whole suite, on real servers
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: system-run $(VENV)/.installed  ## formatting, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck .ci/run tests/install-packages tests/install-kubectl postfix/container/postfix-[cdrs]*
	$(BIN)/shellcheck -x $(IMAGE_SCRIPTS) $(K8S_SCRIPTS)
	$(BIN)/hadolint Dockerfile

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: system-test $(VENV)/.installed  ## the measures of docs/performance.md
	$(BIN)/python -m bench $(ARGS)

rules: $(VENV)/.installed  ## the objects of k8s/components/monitoring from its rules (RUNBOOKS: URL before the runbook paths)
	$(BIN)/python k8s/components/monitoring/generate.py --runbooks "$(RUNBOOKS)"

images:  ## the images of docs/images.md, with docker, podman or buildah
	milter/image/build

base-image:  ## a base for them, where none can be pulled
	milter/image/base

lock: $(VENV)/.installed  ## what the images are built from, anew
	$(BIN)/python milter/image/lock_requirements.py
	milter/image/lock

$(VENV)/.installed: setup.cfg pyproject.toml milter/constraints.txt | system-run
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --use-pep517 -c milter/constraints.txt -e '.[test,lint]'
	touch $@

$(BIN)/kubectl: tests/install-kubectl | $(VENV)/.installed
	tests/install-kubectl $(BIN)

system-run:
	@tests/install-packages run

system-test:
	@tests/install-packages run test

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis bench/build

# Two commands do everything on a fresh machine: `make demo` and `make test`. The rest is for people who work on the project.
PYTHON ?= python3
MODEL ?= dual
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOCKS := deploy/locks
NPM := build/npm
TORCH := torch==2.13.0

.PHONY: demo test check bench soak integrations crosscheck locks format docs clean help

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.demo ## about a minute: a simulated line, a broker, the real daemon, faults flagged; MODEL=generative asks a generative model
	$(BIN)/python -m examples.demo --model $(MODEL) $(DEMO_ARGS)

test: $(VENV)/.dev ## set up and run all tests
	@sh deploy/system-packages.sh mosquitto openssl
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.dev ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## let the formatter have its way
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## write the generated references again
	$(BIN)/python -m tests.generated --write

bench: $(VENV)/.dev ## every benchmark, tens of minutes; results go to benchmarks/results
	@sh deploy/system-packages.sh mosquitto
	$(BIN)/python -m benchmarks

soak: $(VENV)/.dev ## 100,000 frames of a real clip through Mosquitto into the daemon
	@sh deploy/system-packages.sh mosquitto
	$(BIN)/python -m benchmarks.soak

integrations: $(VENV)/.dev $(NPM)/.installed ## Node-RED, FUXA in a browser and the AsyncAPI parser, from npm, against the real daemon
	@sh deploy/system-packages.sh mosquitto chromium
	$(BIN)/python -m pytest tests/integrations $(PYTEST_ARGS)

crosscheck: $(VENV)/.dev build/optimum-venv/.installed ## our SigLIP graph against optimum's export of the same checkpoint, in an environment of its own
	$(BIN)/python -m benchmarks.optimum_crosscheck --checkpoint examples/checkpoint/siglip-line-tiny --python build/optimum-venv/bin/python

build/optimum-venv/.installed:
	$(PYTHON) -m venv build/optimum-venv
	build/optimum-venv/bin/python -m pip install -q optimum==2.1.0 optimum-onnx==0.1.0 transformers==4.57.6 onnxruntime pillow sentencepiece protobuf $(TORCH)
	@touch $@

locks: $(BIN)/python ## resolve the lock files again
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -o $(LOCKS)/daemon.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra demo --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -o $(LOCKS)/demo.txt
	$(BIN)/uv pip compile -q pyproject.toml $(LOCKS)/torch-needs.in --extra demo --extra export --extra dev --no-emit-package torch --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -o $(LOCKS)/dev.txt

clean: ## remove what make made
	rm -rf $(VENV) build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer with venv is needed: install python3 and python3-venv, or say PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(LOCKS)/demo.txt | $(BIN)/python
	$(PIP) install -q --require-hashes --no-deps -r $(LOCKS)/demo.txt
	@touch $@

$(VENV)/.dev: $(LOCKS)/dev.txt | $(BIN)/python
	$(PIP) install -q --require-hashes --no-deps -r $(LOCKS)/dev.txt
	$(PIP) install -q --no-deps $(TORCH)
	@touch $@ $(VENV)/.demo

# No install scripts but that of sqlite3, which FUXA needs compiled; others only report who installs.
$(NPM)/.installed: tests/integrations/package.json
	@command -v npm >/dev/null || { echo "Node.js 20 or newer with npm is needed: install nodejs and npm"; exit 1; }
	@mkdir -p $(@D) && cp $< $(@D)/package.json
	npm install --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error
	npm rebuild --prefix $(@D) sqlite3
	@touch $@

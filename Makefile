# Two commands do everything on a fresh machine: `make demo` and `make test`. The rest is for people who work on the project.
PYTHON ?= python3
MODEL ?= dual
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOCKS := deploy/locks
NPM := build/npm
TORCH := torch==2.13.0
# Three workers on two cores, because live tests mostly wait; a file at a time, so that its fixtures are made once. One thread each.
# Compiled files are kept, whatever the shell says: else each worker and each daemon compiles every module again.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder
COV := --cov --cov-report=json:build/coverage/report.json
FAST := tests/benchmarks tests/edge tests/exporters tests/examples/line tests/examples/training $(wildcard tests/test_*.py)

.PHONY: demo test test-fast test-whole coverage check bench soak fuzz integrations crosscheck openvino ray locks format docs clean help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.demo ## about a minute: a simulated line, a broker, the real daemon, faults flagged; MODEL=generative asks a generative model
	$(BIN)/python -m examples.demo --model $(MODEL) $(DEMO_ARGS)

test: $(VENV)/.dev ## set up and run the tests; COVERAGE=1 measures branch coverage and holds it against the floors
	@sh deploy/system-packages.sh mosquitto openssl ip=iproute2 unshare=util-linux
	@mkdir -p build/coverage
	$(PYTEST) -n 3 -m "not whole" $(if $(COVERAGE),$(COV)) $(PYTEST_ARGS) || { echo "Once more, one at a time, what failed beside others; what fails again has failed." \
	  && $(PYTEST) -n 0 -m "not whole" --last-failed --last-failed-no-failures none $(if $(COVERAGE),$(COV) --cov-append) $(PYTEST_ARGS); }
	$(if $(COVERAGE),$(BIN)/python -m tests.floors build/coverage/report.json)

test-fast: $(VENV)/.dev ## two minutes: what needs no built bundle and no daemon of its own
	@sh deploy/system-packages.sh mosquitto openssl
	$(PYTEST) -n 3 -m "not slow and not whole" $(FAST) $(PYTEST_ARGS)

test-whole: $(VENV)/.dev ## what `make test` leaves out: whole sets of pictures, the wheel on every Python; minutes, and needs EDGE_DATA and a registry
	@sh deploy/system-packages.sh mosquitto
	$(PYTEST) -n 2 -m whole tests/benchmarks tests/exporters tests/test_packaging.py $(PYTEST_ARGS)

coverage: ## all tests with branch coverage, held against the floors in pyproject.toml
	@$(MAKE) test COVERAGE=1

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
	$(BIN)/python -m benchmarks.path.soak

integrations: $(VENV)/.dev $(NPM)/.installed ## Node-RED, FUXA in a browser and the AsyncAPI parser, from npm, against the real daemon
	@sh deploy/system-packages.sh mosquitto chromium
	$(BIN)/python -m pytest tests/integrations $(PYTEST_ARGS)

ray: $(VENV)/.dev build/ray-venv/.installed ## a backtest on a Ray cluster of two nodes against the same one here: equal, with a killed worker, and how it scales
	$(BIN)/python -m pytest tests/edge/replay/test_cluster.py $(PYTEST_ARGS)
	$(BIN)/python -m benchmarks.path.backtest --ray build/ray-venv/bin/python

crosscheck: $(VENV)/.dev build/optimum-venv/.installed build/line-images ## what `edge-export build --crosscheck` compares: our SigLIP graph and optimum's, on the line's pictures
	$(BIN)/python -m benchmarks.export.optimum_crosscheck examples/recipes/line.toml --python build/optimum-venv/bin/python

openvino: $(VENV)/.dev build/openvino-venv/.installed build/line-images ## the line's bundle by ONNX Runtime's OpenVINO provider against the CPU's, each in its own environment
	$(BIN)/python -m benchmarks.export.openvino --python build/openvino-venv/bin/python

# OpenVINO's build of ONNX Runtime is a module of the same name: it takes the place of onnxruntime, so it has an environment of its own.
build/openvino-venv/.installed: $(LOCKS)/openvino.txt
	$(PYTHON) -m venv build/openvino-venv
	build/openvino-venv/bin/python -m pip install -q --require-hashes --no-deps -r $(LOCKS)/openvino.txt
	build/openvino-venv/bin/python -m pip install -q --no-deps -e .
	@touch $@

# Ray in an environment of its own: it is large, and only `backtest --ray` needs it.
build/ray-venv/.installed: $(LOCKS)/ray.txt
	$(PYTHON) -m venv build/ray-venv
	build/ray-venv/bin/python -m pip install -q --require-hashes --no-deps -r $(LOCKS)/ray.txt
	build/ray-venv/bin/python -m pip install -q --no-deps -e .
	@touch $@

build/line-images:
	$(BIN)/python -m examples.demo.site_images build/line-images

fuzz: $(VENV)/.dev build/fuzz-venv/.installed ## coverage-guided fuzzing of every parser that outsiders can reach, half an hour; atheris in an environment of its own
	$(BIN)/python -m benchmarks.fuzz --python build/fuzz-venv/bin/python

build/fuzz-venv/.installed: $(LOCKS)/daemon.txt
	$(PYTHON) -m venv build/fuzz-venv
	build/fuzz-venv/bin/python -m pip install -q --require-hashes --no-deps -r $(LOCKS)/daemon.txt
	build/fuzz-venv/bin/python -m pip install -q --no-deps atheris==3.0.0
	@touch $@

build/optimum-venv/.installed:
	$(PYTHON) -m venv build/optimum-venv
	build/optimum-venv/bin/python -m pip install -q optimum==2.1.0 optimum-onnx==0.1.0 transformers==4.57.6 onnxruntime pillow sentencepiece protobuf $(TORCH)
	@touch $@

locks: $(BIN)/python ## resolve the lock files again
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -o $(LOCKS)/daemon.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra camera --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -o $(LOCKS)/camera.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra demo --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -o $(LOCKS)/demo.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra page --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -o $(LOCKS)/page.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra record --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -o $(LOCKS)/record.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra ray --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -o $(LOCKS)/ray.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra towers --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -o $(LOCKS)/towers.txt
	$(BIN)/uv pip compile -q pyproject.toml $(LOCKS)/openvino.in -c $(LOCKS)/daemon.txt --no-emit-package onnxruntime --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -o $(LOCKS)/openvino.txt
	$(BIN)/uv pip compile -q pyproject.toml $(LOCKS)/torch-needs.in --extra camera --extra demo --extra export --extra page --extra record --extra towers --extra dev --no-emit-package torch --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -o $(LOCKS)/dev.txt

clean: ## remove what make made
	rm -rf $(VENV) build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer with venv is needed: install python3 and python3-venv, or say PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(LOCKS)/demo.txt $(LOCKS)/page.txt | $(BIN)/python
	$(PIP) install -q --require-hashes --no-deps -r $(LOCKS)/demo.txt -r $(LOCKS)/page.txt
	@touch $@

$(VENV)/.dev: $(LOCKS)/dev.txt | $(BIN)/python
	$(PIP) install -q --require-hashes --no-deps -r $(LOCKS)/dev.txt
	$(PIP) install -q $(TORCH) # with what it needs: the build of the public index also needs its CUDA libraries; the rest is pinned above
	@touch $@ $(VENV)/.demo

# No install scripts but that of sqlite3, which FUXA needs compiled; others only report who installs.
$(NPM)/.installed: tests/integrations/package.json
	@command -v npm >/dev/null || { echo "Node.js 20 or newer with npm is needed: install nodejs and npm"; exit 1; }
	@mkdir -p $(@D) && cp $< $(@D)/package.json
	npm install --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error
	npm rebuild --prefix $(@D) sqlite3
	@touch $@

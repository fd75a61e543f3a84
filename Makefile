# The project's commands. `make run` and `make test` work from a fresh clone on Debian 12; `make help` lists all.
# Stages have a budget of time, so that a hang fails and says where.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= /usr/bin/python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
CONFIGURE := cmake -S . -G Ninja -DSNF_DPDK=OFF
# What the kernel schedules so gets only the time that nothing else wants (SCHED_IDLE).
LEFT_OVER := chrt --idle 0
# As root on a build server no test may be skipped for want of root, nor of anything that root can set up.
PYTEST_FLAGS += $(if $(filter true,$(CI)),--require-root)

engine_sources := CMakeLists.txt dpdk.cmake pyproject.toml $(wildcard engine/*)
cpp_files = git ls-files -- '*.cpp' '*.hpp'

.PHONY: help setup packages build run engine-tests sanitized test lab-tests cpp-tests beside-tests check fuzz bench image fmt \
  clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: packages build ## install Debian packages, .venv with .venv/bin/snf, network functions and byte code compiled
	@timeout 300 $(BIN)/snf build
	@$(BIN)/python -m compileall -q src/statelessnf

run: setup ## set-up, then the demonstration: downloads survive the death of an instance
	@$(BIN)/snf demo

packages:
	@timeout 600 scripts/install_packages

.venv/.ready: pyproject.toml | packages
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	timeout 120 $(PIP) install --upgrade 'pip>=25.1'
	timeout 600 $(PIP) install --group dev $$($(BIN)/python scripts/dependencies.py)
	@touch $@

build/.installed: .venv/.ready $(engine_sources)
	timeout 600 $(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

build: build/.installed ## compile the engine and install the project into .venv

# Compiled with what nothing else wants: `make -j 2` does it beside pip, mypy and `snf build`, which take one processor.
engine-tests: build
	@$(LEFT_OVER) timeout 600 cmake --build build/engine --target engine_tests

sanitized: packages
	@$(CONFIGURE) -B build/asan -DSNF_SANITIZE=address,undefined > /dev/null
	@$(LEFT_OVER) timeout 600 cmake --build build/asan --target engine_tests
	@$(CONFIGURE) -B build/tsan -DSNF_SANITIZE=thread > /dev/null
	@$(LEFT_OVER) timeout 600 cmake --build build/tsan --target engine_tests

test: lab-tests cpp-tests beside-tests ## every test: C++ (plain, ASan and UBSan, TSan) and Python; -j 2: beside each other

# Labs wait for most of their time: with `make -j 2` all other tests run beside them, in the time that they leave.
lab-tests: setup
	timeout 1200 $(BIN)/pytest $(PYTEST_FLAGS) -m 'not beside'

cpp-tests: engine-tests sanitized
	timeout 120 build/engine/engine_tests
	$(LEFT_OVER) timeout 600 build/asan/engine_tests
	$(LEFT_OVER) timeout 600 build/tsan/engine_tests

beside-tests: setup
	$(LEFT_OVER) timeout 1200 $(BIN)/pytest $(PYTEST_FLAGS) --timeout 300 -m beside -n 2 --dist loadfile --no-loadscope-reorder

check: packages build ## lint, types, format, warnings as errors, size limits
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@timeout 300 $(BIN)/mypy
	@$(cpp_files) | xargs -r clang-format --dry-run -Werror
	@scripts/check_sizes

fuzz: packages ## each libFuzzer target for a minute, under ASan and UBSan; finds go into the corpus
	@$(CONFIGURE) -B build/fuzz -DCMAKE_CXX_COMPILER=clang++ -DSNF_FUZZ=ON -DSNF_SANITIZE=address,undefined > /dev/null
	@timeout 600 cmake --build build/fuzz
	@for source in tests/fuzz/fuzz_*.cpp; do \
	  target=$$(basename $$source .cpp); corpus=tests/fuzz/corpus/$${target#fuzz_}; mkdir -p $$corpus; \
	  echo "== $$target"; \
	  timeout 120 build/fuzz/$$target -max_total_time=60 -print_final_stats=1 -artifact_prefix=build/fuzz/ $$corpus; \
	done

bench: setup ## the measurements: store, throughput, latency, footprint (tables, JSON and PNG in out/)
	@$(BIN)/snf bench store
	@$(BIN)/snf bench throughput
	@$(BIN)/snf bench latency
	@$(BIN)/snf bench footprint

image: ## the Docker image `statelessnf` (wants a registry for its base; without one: scripts/local_image.py)
	@timeout 1200 docker build --tag statelessnf .

fmt: build ## format all sources
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .
	@$(cpp_files) | xargs -r clang-format -i

clean: ## remove everything that was built
	rm -rf build .venv out .pytest_cache .mypy_cache .ruff_cache .hypothesis

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
# As root on a build server no test may be skipped for want of root, nor of anything that root can set up.
PYTEST_FLAGS += $(if $(filter true,$(CI)),--require-root)

engine_sources := CMakeLists.txt dpdk.cmake pyproject.toml $(wildcard engine/*)
cpp_files = git ls-files -- '*.cpp' '*.hpp'

.PHONY: help setup packages build run engine-tests sanitized test check fuzz bench image fmt clean

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
	@nice -n 19 timeout 600 cmake --build build/engine --target engine_tests

sanitized: packages
	@$(CONFIGURE) -B build/asan -DSNF_SANITIZE=address,undefined > /dev/null
	@nice -n 19 timeout 600 cmake --build build/asan --target engine_tests
	@$(CONFIGURE) -B build/tsan -DSNF_SANITIZE=thread > /dev/null
	@nice -n 19 timeout 600 cmake --build build/tsan --target engine_tests

test: setup engine-tests sanitized ## every test: C++ (plain, ASan and UBSan, TSan), then Python
	timeout 120 build/engine/engine_tests
	timeout 240 build/asan/engine_tests
	timeout 240 build/tsan/engine_tests
	timeout 600 $(BIN)/pytest $(PYTEST_FLAGS) -m beside -n 2 --dist loadfile --no-loadscope-reorder
	timeout 900 $(BIN)/pytest $(PYTEST_FLAGS) -m 'not beside'

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

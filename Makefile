# Everything a newcomer needs. Nothing is written outside this folder.
SHELL := /bin/bash
PYTHON ?= python3
CACHE := $(CURDIR)/.cache
BIN := .venv/bin
STAMP := .venv/.stamp

export UV_CACHE_DIR := $(CACHE)/uv
export UV_PYTHON_DOWNLOADS := never
export RELAY_CACHE := $(CACHE)

.PHONY: setup demo example test bench faults endtoend lint lock clean

setup: $(STAMP)  ## make .venv with everything

$(STAMP): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=python3.x")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --no-cache-dir --require-hashes -r requirements-uv.txt
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.txt requirements-uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

demo: setup  ## the main job, end to end, in a minute
	$(BIN)/relay demo

example: setup  ## Edu Matrix, whole: its page, workers, mails and real time, until Ctrl-C; PORT=8080 for another port
	$(BIN)/python -m app_integration example start $(if $(PORT),--port $(PORT))

# Most tests wait, for a server or for a time to pass: three at a time leave two cores enough air.
test: setup  ## every test, on real PostgreSQL and real Kafka
	$(BIN)/python -m pytest --numprocesses 3 --maxschedchunk 1

bench: setup  ## every figure at length, an hour or two; docs/performance.md has those of `--scale standard`
	$(BIN)/python -m bench

faults: setup  ## N faults, drawn by SEED, while writers go on; a minute for a dozen. N=1000 makes the table of the docs
	$(BIN)/python -m tests.faults --docs --faults $(or $(N),60) $(if $(SEED),--seed $(SEED))

endtoend: setup  ## Edu Matrix whole, N kills drawn by SEED under load; N=100 makes the table of docs/edu-matrix.md
	$(BIN)/python -m tests.endtoend --docs --kills $(or $(N),20) $(if $(SEED),--seed $(SEED))

lint: setup  ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: setup  ## pin the newest allowed versions, with hashes
	$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-emit-index-url --all-extras --custom-compile-command "make lock" -o requirements.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --constraint requirements.txt --custom-compile-command "make lock" -o requirements-runtime.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --constraint requirements.txt --extra example --extra workers --extra realtime --custom-compile-command "make lock" -o requirements-example.txt pyproject.toml
	echo hatchling | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --constraint requirements.txt --custom-compile-command "make lock" -o requirements-build.txt -
	echo uv | $(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-emit-index-url --custom-compile-command "make lock" -o requirements-uv.txt -

clean:
	rm -rf .venv .cache .demo .example

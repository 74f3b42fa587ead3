# `make` alone lists what there is. What a command needs is set up by .ci/set-up, once.
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help run serve aws-emulated test simulate crash lint fuzz guarantees lock clean

# A question may hold quotes, `$`, backticks and newlines. `$(value …)` takes it as it was typed, and `troupe ask`
# reads it from the environment: neither make nor a shell ever sees it as code.
override Q := $(value Q)
override DOCS := $(value DOCS)
export Q DOCS

SECONDS ?= 60
SET_UP := sh .ci/set-up
BIN := .venv/bin

help:
	@echo 'make run                        ask an example question'
	@echo 'make run Q="…"                  ask one about the Python standard library'
	@echo 'make run Q="…" DOCS=folder      ask one about the documents in a folder'
	@echo 'make serve                      serve the HTTP API and the page on http://127.0.0.1:8080; DOCS=folder as above'
	@echo 'make aws-emulated               deploy the whole project onto an emulator of AWS, ask it, leave it running'
	@echo 'make test                       check the code, then run every test'
	@echo 'make simulate                   run 10,000 seeds of the simulation; SEEDS=n START=first choose which'
	@echo 'make lint                       check the code only'
	@echo 'make fuzz SECONDS=60            send the bus what no honest producer would, for so long each way'
	@echo 'make guarantees                 write docs/guarantees.md: which test proves what on which target'
	@echo 'make crash KILLS=100            kill a server under load so often, and look at what became of every message'
	@echo 'make lock                       bring uv.lock and requirements.txt up to date with pyproject.toml'
	@echo 'make clean                      remove what was set up and built; what was asked and stored stays'
	@echo
	@echo 'The first run of each sets up what it needs. PYTHON=python3.12 chooses the interpreter.'

run:
	@$(SET_UP) run
	@$(BIN)/troupe ask

serve:
	@$(SET_UP) run
	@$(BIN)/troupe run

aws-emulated:
	@$(SET_UP) test
	@PYTHONPATH=tests $(BIN)/python -m emulated

test: lint
	@echo 'pytest: the tests, on every core, with coverage'
	@$(BIN)/pytest --numprocesses=auto --dist=worksteal --cov --cov-report= --ignore=tests/emulated
	@echo 'pytest: the whole project on an emulator of AWS, deployed once'
	@$(BIN)/pytest --cov --cov-append --cov-report=term tests/emulated

SEEDS ?= 10000
START ?= 0

simulate:
	@$(SET_UP) test
	@PYTHONPATH=tests $(BIN)/python -m simulation --seeds $(SEEDS) --start $(START)

lint:
	@$(SET_UP) test
	@echo 'ruff check: rules'
	@$(BIN)/ruff check --quiet
	@echo 'ruff format: layout'
	@$(BIN)/ruff format --check --quiet || { echo 'run .venv/bin/ruff format on the files above'; exit 1; }
	@echo 'mypy: types'
	@$(BIN)/mypy --no-error-summary
	@echo 'import-linter: imports point one way'
	@said=$$($(BIN)/lint-imports --no-logo) || { printf '%s\n' "$$said"; exit 1; }

fuzz:
	@$(SET_UP) fuzz
	@$(BIN)/python tests/fuzz/fuzz_events.py decode -max_total_time=$(SECONDS) -print_final_stats=1
	@$(BIN)/python tests/fuzz/fuzz_events.py deliver -max_total_time=$(SECONDS) -print_final_stats=1

guarantees:
	@$(SET_UP) test
	@$(BIN)/python tests/conformance/page.py >docs/guarantees.part && mv docs/guarantees.part docs/guarantees.md
	@echo 'docs/guarantees.md says what the tests prove'

KILLS ?= 100

crash:
	@$(SET_UP) test
	@$(BIN)/python tests/crash/crashing.py --kills $(KILLS)
	@$(BIN)/python tests/crash/crashing.py --kills $(KILLS) --servers 2

# uv's own header is left out: it holds the command line of whoever ran it.
lock:
	@uv=$$($(SET_UP) uv) && "$$uv" lock && { \
	echo '# What runs and what deploys needs, exported from uv.lock by `make lock`; the other groups are left out.'; \
	"$$uv" export --quiet --frozen --no-default-groups --group infra --group aws --no-emit-project --no-header; \
	} >requirements.part && mv requirements.part requirements.txt
	@echo 'uv.lock and requirements.txt are up to date with pyproject.toml'

clean:
	@rm -rf .venv .emulators .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo 'removed .venv, .tools, caches and builds'

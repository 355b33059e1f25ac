# `make serve` and `make test` do all their own set-up; `make help` lists the rest.
# PYTHON=/path/to/python3 picks the interpreter, ARGS='...' is passed on to the command.

DEV = .venv-dev/bin
FAST = not slow and not full and not bench
FULL = not bench
TOGETHER = -n auto --maxprocesses 4 --dist loadfile
SOURCES = $(wildcard src tests scripts bench)

export PYTHON
.DEFAULT_GOAL := help
.PHONY: help serve test test-full check fmt bench lock clean dev sdk0

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

# exec: the server takes the shell's place, so that Ctrl-C and SIGTERM reach it.
serve: ## start the server with its default model (ARGS='--port 8484 --model NAME --fake ...')
	@scripts/venv .venv requirements/serve.txt project
	@exec .venv/bin/antiphon serve $(ARGS)

test: dev sdk0 ## run the tests, a real model and the official SDK among them (ARGS='-k name')
	@$(DEV)/python scripts/fetch_models.py smollm2
ifdef ARGS
	@$(DEV)/python -m pytest -m "$(FAST)" $(ARGS)
else
	@$(DEV)/python -m pytest -m "$(FAST) and not alone" $(TOGETHER)
	@$(DEV)/python -m pytest -m "$(FAST) and alone"
endif

test-full: dev sdk0 ## run every test: the slow ones and a second, larger model too
	@$(DEV)/python scripts/fetch_models.py smollm2 qwen05 qwen15
	@$(DEV)/python -m pytest -m "$(FULL)" $(ARGS)

check: dev ## lint, format, types, import rules, docs
	@$(DEV)/ruff check $(SOURCES)
	@$(DEV)/ruff format --check $(SOURCES)
	@$(DEV)/pyright
	@$(DEV)/lint-imports --no-logo
	@$(DEV)/python scripts/check_docs.py
	@$(DEV)/python scripts/check_scope.py
	@$(DEV)/python -m scripts.reference --check

fmt: dev ## format, repair what the linter can, write docs/reference
	@$(DEV)/ruff check --fix-only --quiet $(SOURCES)
	@$(DEV)/ruff format $(SOURCES)
	@$(DEV)/python -m scripts.reference

bench: dev ## measure against the bare engine (ARGS='--peer litellm')
	@$(DEV)/python scripts/fetch_models.py smollm2
	@$(DEV)/python -m bench $(ARGS)

lock: ## write requirements/*.txt anew from pyproject.toml and *.in (ARGS=--upgrade)
	@scripts/lock $(ARGS)

clean: ## remove environments and caches; models and data stay
	rm -rf .venv .venv-dev .venv-sdk0 .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find src tests scripts bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

dev:
	@scripts/venv .venv-dev requirements/dev.txt project

# The last 0.x SDK cannot share an environment with the current one, and people still run it.
sdk0:
	@scripts/venv .venv-sdk0 requirements/sdk0.txt

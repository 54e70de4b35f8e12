# Every target sets up first; set-up (`python -m mnflow.setup`, which needs no make) is done once, and again when what it
# installs or the project's place has changed.
PYTHON ?= $(or $(shell command -v python3.11),python3)
# One thread for each process: the folds are what runs in parallel.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MLFLOW_DISABLE_TELEMETRY = true
export MLFLOW_TRACKING_URI ?= sqlite:///$(CURDIR)/mlflow.db

.PHONY: setup setup-dev demo docs test test-fast test-wheel test-model test-faults kills fuzz mutants test-team test-docker check bench ui doctor lock secrets clean

setup:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed and $(PYTHON) was not found: install it, or say make PYTHON=/where/it/is"; exit 1; }
	@$(PYTHON) -m mnflow.setup

setup-dev:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed and $(PYTHON) was not found: install it, or say make PYTHON=/where/it/is"; exit 1; }
	@$(PYTHON) -m mnflow.setup --dev

demo: setup
	.venv/bin/mlflow run .

# Files of tests side by side: many wait for a process that they started. What JAX compiled is kept in ~/.cache for later sessions.
test: setup-dev
	.venv/bin/python -m pytest -n logical --maxprocesses 4 --dist loadfile

# No training, process, server or browser: under a minute on two cores.
test-fast: setup-dev
	.venv/bin/python -m pytest -n logical --maxprocesses 4 --dist loadfile -m 'not services and not slow'

# The wheel, built and used in an environment of its own.
test-wheel: setup-dev
	.venv/bin/python -m pytest -m services tests/test_wheel.py

# The shipped model, made anew and compared: a quarter of an hour on one idle core.
test-model: setup-dev
	.venv/bin/python -m pytest -m services tests/pretrained/test_card.py

# Servers and containers, some minutes each; needs PostgreSQL, and for the second a Docker engine.
test-team test-docker: test-%: setup-dev
	.venv/bin/python -m pytest -m services tests/system/test_$**.py

# Kills, a tracking server that goes away, abuse of the served model: half an hour on two cores.
test-faults: setup-dev
	.venv/bin/python -m pytest -m services tests/system/test_kills.py tests/system/test_store_faults.py tests/system/test_server_away.py tests/system/test_server_abuse.py

# The kills alone, KILLS of each of eleven entry points.
KILLS ?= 10
kills: setup-dev
	MNFLOW_KILLS=$(KILLS) .venv/bin/python -m pytest -m services tests/system/test_kills.py

# Damaged files for every reader: ten minutes of processor time.
fuzz: setup-dev
	.venv/bin/python -m tests.fuzz_readers --seconds 600

# How much of a module can be changed before its tests notice: make mutants MODULE=mnflow/folds.py; by default with the
# tests that mirror it. For several, a line each: make mutants MODULE="mnflow/*.py mnflow/*/*.py" MOST=20
MOST ?= 10000
mutants: setup-dev
	@test -d .mutants || .venv/bin/python -m pip install --quiet --no-deps --target .mutants mutmut==3.8.1 libcst==1.9.0
	.venv/bin/python -m tests.mutants $(MODULE) $(if $(TESTS),--tests $(TESTS)) --most $(MOST)

# The site of the documents, in docs/_build/html: without network, warnings as errors.
docs: setup-dev
	.venv/bin/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs docs/_build/html
	@echo "Open  docs/_build/html/index.html"

check: setup-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: setup
	.venv/bin/python -m benchmarks $(if $(TORCH),--torch $(TORCH))

ui: setup
	@echo "Open  http://127.0.0.1:5000/#/experiments/0/runs?workflowType=machine_learning&compareRunsMode=CHART&viewStateShareKey=which-net-is-best  (after make demo: which network is best; look at the worst shift and at noise x 5)"
	.venv/bin/mlflow ui --backend-store-uri $(MLFLOW_TRACKING_URI)

doctor:
	@test -x .venv/bin/python || { echo "There is no .venv yet: run make setup."; exit 1; }
	@.venv/bin/python -m mnflow doctor

# Resolves requirements*.in afresh (needs uv); hashes are recorded, addresses are not.
lock:
	for part in "" -server -gpu -dev; do \
	  uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 \
	    requirements$$part.in -o requirements$$part.txt || exit 1; done

# The team's stack (docs/team.md): passwords and keys that are nowhere else.
secrets:
	@test ! -e .env || { echo "There is a .env already: it is left as it is."; exit 1; }
	@umask 077; echo COMPOSE_PROJECT_NAME=mnflow > .env; \
	for name in POSTGRES_PASSWORD S3_ACCESS_KEY S3_SECRET_KEY ADMIN_PASSWORD WORKER_PASSWORD COOKIE_KEY; do \
	  echo "$$name=$$($(PYTHON) -c 'import secrets; print(secrets.token_hex(20))')"; done >> .env
	@echo "Wrote .env: keep it out of the repository, and with your backups."

clean:
	rm -rf .venv

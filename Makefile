# Everything a newcomer needs: `make demo` and `make test`. Needs only Python 3.11 to 3.13, git and make.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
UI ?=

.PHONY: help install demo team up report test lint unit bench faults faults-agents gates curve drill audit races \
	secrets interleavings pilot lock clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /|/' | awk -F'|' '{printf "  make %-13s %s\n", $$1, $$2}'

install: $(STAMP) ## make .venv with every locked dependency

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python 3.11 to 3.13 is needed, this is %d.%d: set PYTHON=python3.12" % v)'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV) (about a minute the first time)"
	@$(PY) -m pip install --quiet --disable-pip-version-check "$$(grep -o '^uv==[0-9.]*' requirements.lock)"
	@$(PY) -m uv pip install --quiet --python $(PY) -r requirements.lock \
		|| $(PY) -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP) ## learn from recorded and simulated experiences, print what was learned, write qe-report/index.html (UI=1 leaves the web UI open)
	@$(PY) -m qe_core.cli demo $(if $(UI),--ui)

team: $(STAMP) ## three developers, a CI runner and a newcomer learn together with a privacy guarantee, write qe-report/team.html (about 2 minutes)
	@$(PY) -m qe_core.cli demo --team

up: $(STAMP) ## database, Dagster web UI and daemon; Ctrl-C stops all
	@$(PY) -m qe_core.cli up

report: $(STAMP) ## write qe-report/index.html again from the database
	@$(PY) -m qe_core.cli report

test: lint unit ## everything CI checks: style, types, layers, docstrings, tests, coverage

lint: $(STAMP) ## style, types, layers, SQL and docstrings
	@$(PY) -m ruff check --quiet . && $(PY) -m ruff format --quiet --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-logo
	@$(PY) -m interrogate --quiet qe_core qe_pipelines
	@$(PY) -m sqlfluff lint --nocolor --disable-progress-bar qe_core/store dbt_views/models

unit: $(STAMP) ## the tests, on all cores, with the coverage floor
	@$(PY) -m pytest --numprocesses auto --dist worksteal --cov --cov-report=term --durations=25

pilot: $(STAMP) ## the pilot on held-out packages: the stored table against rules, then five other trainings
	@$(PY) -m qe_core.cli workbench compare
	@$(PY) benchmarks/pilot_training_seeds.py

bench: $(STAMP) ## every owed figure against its peer, measured in one run (about 15 minutes; MINUTES=10 for the long endurance run)
	@$(PY) -m uv pip install --quiet --python $(PY) -r benchmarks/requirements.txt
	@$(PY) -m benchmarks $(if $(MINUTES),--minutes $(MINUTES))

faults: $(STAMP) ## writers under a hundred kills, cuts and full disks, recomputed by an oracle (about 10 minutes)
	@$(PY) -m tests.faults

faults-agents: $(STAMP) ## a hundred processes of agents killed during their episodes (about 10 minutes, 4.4 GB)
	@$(PY) -m tests.faults_agents

gates: $(STAMP) ## thousands of A/B tests and off-policy estimates through the decision code, mistakes counted (about half an hour)
	@$(PY) -m tests.gates
	@$(PY) -m tests.off_policy_gates

curve: $(STAMP) ## false alarms and delay of the automatic rollback (about 15 minutes)
	@$(PY) -m benchmarks.rollback_curve

drill: $(STAMP) ## poisoned policies on a running deployment, servers killed in the middle of a rollback (about 5 minutes)
	@$(PY) -m tests.rollback_drill

audit: $(STAMP) ## what attacks on releases prove about their privacy, and three bugs they must catch (about 20 minutes)
	@$(PY) -m tests.privacy_audit

races: $(STAMP) ## releases that race for the last of the privacy budget, killed at every step (about 3 minutes)
	@$(PY) -m tests.budget_races

secrets: $(STAMP) ## every byte that reached the team's server searched for a thousand planted secrets (about a minute)
	@$(PY) -m tests.secrets

interleavings: $(STAMP) ## four databases and a team's server in any order of everything (about 12 minutes)
	@$(PY) -m tests.team_interleavings

lock: ## resolve the newest versions pyproject.toml allows into requirements.lock
	@$(PY) -m uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--no-emit-index-url --no-header --no-annotate --quiet --upgrade --output-file requirements.lock

clean: ## stop the embedded database and remove what was made here, learned tables included
	@test ! -x $(PY) || $(PY) -m qe_core.cli db stop
	rm -rf $(VENV) .qe qe-report dbt_views/target dbt_views/logs

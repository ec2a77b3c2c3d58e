# catlake: `make` alone lists the commands.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The Glue whose Python, Spark and packages are installed. 5.1 is what is deployed; of the next, tests are run (docs/architecture.md).
GLUE ?= 5.1
ifeq ($(GLUE),5.1)
VENV := .venv
PYTHON := 3.11
CARRIED := constraints.txt
else ifeq ($(GLUE),6.0)
VENV := .venv-glue6
PYTHON := 3.13
CARRIED := constraints-glue6.txt
else
$(error GLUE=$(GLUE): must be 5.1 or 6.0)
endif
PY := $(VENV)/bin/python
PINS := -c $(CARRIED) -c constraints-dev.txt
LAKE ?= lake
# ENV=prod or ENVIRONMENT=prod; but a shell's own ENV is a start-up file of sh.
ENVIRONMENT ?= $(if $(filter command,$(origin ENV)),$(ENV),local)
# Exported, so that the shell does not split a name; as it was written, for a query may have a `$`.
override QUERY := $(value QUERY)
export LAKE QUERY
WORKERS ?= 2
# A file's tests run in one process, so that what they share is made once.
PYTEST = $(PY) -m pytest -n $(WORKERS) --dist loadfile
# ORDER=random: files in a random order, and the tests within each; the seed is shown (pytest's --random-order-seed).
ifeq ($(ORDER),random)
PYTEST += --random-order
endif

# A Spark or a Python of the user's shell must not replace the one that is tested.
unexport SPARK_HOME SPARK_CONF_DIR PYTHONPATH PYSPARK_PYTHON PYSPARK_DRIVER_PYTHON
# Some images set it; each of the many processes would then compile all modules that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help:
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##### Build

.PHONY: setup
setup: environment package ## .venv with all that is needed, and dist/catlake.zip; quick when nothing changed

.PHONY: environment
environment: $(VENV)/.configured # the environment alone

.PHONY: package
package: dist/catlake.zip ## dist/catlake.zip: the library as Glue takes it (--extra-py-files)

# Commands that may be the Python: those of the PATH, then what pyenv keeps; and the head of a loop over them.
PYTHONS = python$(PYTHON) python3 $(wildcard $(HOME)/.pyenv/versions/$(PYTHON).*/bin/python)
FIND_PYTHON = for python in $(PYTHONS); do \
	  if [ "$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = $(PYTHON) ]

.PHONY: has-python
has-python: # whether this machine has the Python that GLUE needs
	@$(FIND_PYTHON); then exit; fi; done; exit 1

# An environment remembers its folder, and the home of the Java that set-up found. When either has changed, set-up
# does its part again.
MADE_AT := $(shell sed -n 's/^command = .* -m venv \(--[a-z-]* \)*//p' $(VENV)/pyvenv.cfg 2>/dev/null)
ifneq ($(MADE_AT),)
ifneq ($(MADE_AT),$(CURDIR)/$(VENV))
MOVED := moved
endif
endif
JAVA_GONE := $(shell [ ! -s $(VENV)/.configured ] || [ -x "$$(cat $(VENV)/.configured)/bin/java" ] || echo java-gone)

.PHONY: moved java-gone
moved:
	@echo "$(VENV) was made at $(MADE_AT); it is made again here" >&2
	@rm -rf $(VENV)

java-gone:
	@echo "Java is no longer in $$(cat $(VENV)/.configured)" >&2

$(VENV)/bin/python: $(MOVED)
	@$(FIND_PYTHON); then $$python -m venv $(VENV); exit; fi; done; \
	echo "make: no Python $(PYTHON) on the PATH; Glue $(GLUE) runs $(PYTHON), please install it" >&2; exit 1

# The user's own pip configuration says where packages come from; this file names no index.
$(VENV)/.installed: requirements.txt requirements-dev.txt requirements-deploy.txt $(CARRIED) constraints-dev.txt \
                    tools/catlake.pth $(MOVED) | $(VENV)/bin/python
	@echo "Installing packages (a first time takes minutes) ..." >&2
	@# Of so many modules few are used: each is compiled when it first is.
	@$(PY) -m pip install -q --disable-pip-version-check --no-compile $(PINS) -r requirements.txt -r requirements-dev.txt \
	  -r requirements-deploy.txt >&2
	@cp tools/catlake.pth "$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	@touch $@

$(VENV)/.configured: $(VENV)/.installed tools/toolchain.py tools/warm_up.py tools/node.py tools/package-lock.json $(wildcard local/spark/*) $(JAVA_GONE)
	@echo "Finding Java 17, the S3 jars, Node and a browser ..." >&2
	@$(PY) -m tools.toolchain $(if $(filter 6.0,$(GLUE)),--core) >&2

# Folders too: a deleted file changes its folder.
dist/catlake.zip: setup.py $(wildcard schemas/*.odcs.yaml) $(wildcard deploy/sql/*.view.sql) \
                  deploy/environments $(wildcard deploy/environments/*.toml) \
                  $(shell find lib/catlake -name __pycache__ -prune -o \( -name '*.py' -o -name '*.js*' -o -name '*.jinja' -o -name '*.css' -o -name '*.toml' -o -type d \) -print) \
                  | $(VENV)/.installed
	@$(PY) setup.py --quiet library_zip >&2

# A stamp: the names of the zips are those of their packages.
dist/wheels/.made: tools/wheels.py constraints.txt constraints-glue6.txt constraints-dev.txt | $(VENV)/.installed
	@echo "Fetching the wheels that jobs bring to Glue ..."
	@$(PY) -m tools.wheels
	@touch $@

.PHONY: wheels
wheels: dist/wheels/.made ## dist/wheels/: the packages that Glue lacks, as Glue installs them without the internet

##### Use

.PHONY: run
run: setup ## all workflows on the samples, into lake/; ENV=prod: with that environment's settings
	@$(PY) -m local samples --environment="$(ENVIRONMENT)" --lake="$$LAKE"
	@$(PY) -m local open --path --lake="$$LAKE" --environment="$(ENVIRONMENT)"

.PHONY: open
open: setup ## the pages of lake/ in the browser
	@$(PY) -m local open --lake="$$LAKE" --environment="$(ENVIRONMENT)"

.PHONY: sql
sql: setup ## SQL prompt (DuckDB) on lake/; FILE=deploy/sql/x.sql: that query alone; QUERY="SELECT …": its answer as CSV
	@$(PY) -m local sql $(if $(FILE),--file "$(FILE)") $(if $(QUERY),--query="$$QUERY") --lake="$$LAKE"

.PHONY: picture
picture: setup ## take the README's picture of the pages of lake/ anew
	@$(PY) -m tests.samples.pages_picture "$$LAKE/cat-local-normalize-reports/reports/pages/costs.html"

.PHONY: leftovers
leftovers: setup ## list what killed runs have left in lake/ and in the temporary folder; later runs remove it
	@$(PY) -m local leftovers --lake="$$LAKE"

.PHONY: bench
bench: setup ## measure against the peers (long)
	@$(PY) -m bench.run

##### Deploy: ENV=test, ENV=prod or another file of deploy/environments; more options of cdk in ARGS (docs/deploying.md)

CDK = $(PY) -m tools.node cdk
ARGS ?=

# A file says that it is not for AWS (local.toml), and the app then refuses it; here it is only left out of the message.
DEPLOYED = $(addprefix ENV=,$(filter-out defaults,$(notdir $(basename $(shell grep -L '^deployed = false' deploy/environments/*.toml)))))

.PHONY: check-env
check-env:
	@test -f "deploy/environments/$(ENV).toml" || \
	  { echo "make: ENV is '$(ENV)'; write one of $(DEPLOYED)" >&2; exit 1; }

.PHONY: synth
synth: check-env setup wheels ## the CloudFormation templates of ENV, into build/cdk.out; no account needed
	@$(CDK) synth --quiet -c environment=$(ENV) $(ARGS)

.PHONY: bootstrap
bootstrap: check-env setup wheels ## make an account and region ready for the CDK: once, before the first deployment
	@$(CDK) bootstrap -c environment=$(ENV) $(ARGS)

.PHONY: diff
diff: check-env setup wheels ## what a deployment of ENV would change
	@$(CDK) diff -c environment=$(ENV) $(ARGS)

.PHONY: deploy
deploy: check-env setup wheels ## deploy ENV with the caller's AWS credentials
	@$(CDK) deploy --all -c environment=$(ENV) $(ARGS)

##### Check

.PHONY: test
test: setup wheels ## all tests but the slow ones, the fast first (7 minutes on 2 cores)
	@$(PYTEST) -m "not slow"

# What depends on the versions of Spark, Iceberg and pyarrow: whole pipelines by their golden files; readers, writers,
# kept tables and streams.
CORE = tests/conversations/test_golden.py tests/bedrock/test_golden.py tests/purchases/test_report_golden.py \
       $(addprefix tests/purchases/test_,ingest.py kinesis.py) $(addprefix tests/dynamodb/test_,export_reader.py ion.py) \
       $(addprefix tests/lake/test_,tables.py dataset_writer.py made_csv.py csv_round_trip.py) tests/contracts \
       $(addprefix tests/runtime/test_,warm_up.py jvm_names.py)

.PHONY: test-core
test-core: setup ## of these, what depends on the engine's version; GLUE=6.0: on Spark 4.1 and Python 3.13
	@$(PYTEST) -m "spark and not slow and not s3" $(CORE)

.PHONY: test-fast
test-fast: setup wheels ## tests that need neither Spark nor a server nor a browser: seconds
	@$(PYTEST) -m "not slow and not spark and not s3 and not browser"

# The files that may take longest first; by one process more, because many of them wait: for a lease, a batch, a server.
.PHONY: test-slow
test-slow: setup wheels ## the slow tests
	@$(PYTEST) -n $$(($(WORKERS) + 1)) --no-loadscope-reorder -m slow

.PHONY: chaos
chaos: setup package ## kills, pairs at once, faults of S3, hostile values for 15 minutes; the figures go into docs/reliability.md
	@CATLAKE_CHAOS_SECONDS=800 $(PY) -m pytest -q -s tests/chaos

.PHONY: coverage
coverage: setup wheels ## the tests of `make test`, and which lines of the product they run (build/coverage)
	@$(PYTEST) -m "not slow" --cov --cov-report=term:skip-covered --cov-report=html

.PHONY: golden
golden: setup ## write tests/data/golden anew from the present results; then read `git diff`
	@CATLAKE_GOLDEN=write $(PYTEST) tests/conversations/test_golden.py tests/bedrock/test_golden.py \
	  tests/bedrock/test_genuine_costs.py \
	  tests/purchases/test_golden.py tests/purchases/test_report_golden.py

.PHONY: rehearse
rehearse: setup ## jobs as Glue runs them, on s3-server and aws-server, which must run beside it
	@docker/run rehearse

.PHONY: s3-server
s3-server: setup ## an S3 server on this machine, until Ctrl-C
	@docker/run s3-server

.PHONY: aws-server
aws-server: setup ## a server of Glue, Athena and Kinesis (moto) on this machine, until Ctrl-C
	@docker/run aws-server

COMPOSE = docker compose --file docker/compose.yaml

.PHONY: docker-test
docker-test: ## the tests and the rehearsal in AWS's Glue image; needs Docker (GLUE_TAG=5.0.10: another image)
	@missing() { echo "make: docker-test needs Docker with Compose: $$1; without, \`make test\` runs the tests here" >&2; exit 1; }; \
	command -v docker >/dev/null || missing "there is no docker on the PATH"; \
	docker compose version >/dev/null 2>&1 || missing "this docker has no command 'compose' (its plugin)"; \
	docker info >/dev/null 2>&1 || missing "docker does not answer (does its daemon run, and may you use it?)"
	@trap '$(COMPOSE) down --volumes' EXIT; \
	$(COMPOSE) build tests && $(COMPOSE) run --rm tests && $(COMPOSE) run --rm rehearse

.PHONY: lint
lint: $(VENV)/.installed ## ruff, mypy, import-linter; the computed pages of docs/ are up to date
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports
	@$(PY) -m tools.docs --check

.PHONY: verify
verify: check-env setup ## compare the deployed ENV with contracts and workflows; changes nothing
	@$(PY) -m deploy.verify $(ENV) $(ARGS)

.PHONY: smoke
smoke: check-env setup ## after a deployment of ENV: export the tables, run every workflow, verify; it starts jobs, which cost
	@$(PY) -m deploy.smoke $(ENV) $(ARGS)

.PHONY: format
format: setup ## let ruff format and fix
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

.PHONY: docs
docs: setup ## write docs/datasets.md from the contracts, and the tables of docs/costs.md from the prices
	@$(PY) -m tools.docs

.PHONY: clean
clean: ## remove what can be made again; the lake stays
	rm -rf .venv .venv-glue6 dist build lib/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

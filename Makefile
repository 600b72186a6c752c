# Two commands matter: `make run` starts the demonstration, `make test` runs the whole suite. Both first make the virtual
# environment if there is none. They install again only if setup.cfg or constraints.txt has changed.

VENV ?= .venv
BIN := $(VENV)/bin
# What `make run` starts.
CONFIG ?= etc/demo.yaml
# What `make test` runs, and in how many processes.
TESTS ?= tests
JOBS ?= 2

# The tests that take most of the time: real sockets and processes, simulated days, a browser.
SLOW_TESTS := tests.integration tests.simulation tests.browser tests.fuzz
# All others, package by package.
FAST_TESTS := $(filter-out $(SLOW_TESTS) tests.walk,$(subst /,.,$(patsubst %/__init__.py,%,$(wildcard tests/*/__init__.py)) \
	$(basename $(wildcard tests/test_*.py))))

# Everything is installed in the versions of constraints.txt, so that two people test the same thing.
INSTALL := -m pip install --quiet --constraint constraints.txt --editable

.PHONY: help environment run test test-late lint format types docs wheel wheel-check browser screenshots clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

environment: $(VENV)/.installed-for-tests ## make .venv with everything that the tests and checks need

run: $(VENV)/.installed ## start the demonstration (CONFIG=FILE for another configuration)
	@$(BIN)/twistd -n --pidfile= relay --config $(CONFIG)

test: $(VENV)/.installed-for-tests ## run the suite (TESTS=tests.smpp for a part of it)
	$(BIN)/python -m twisted.trial -j$(JOBS) $(TESTS)

test-late: $(VENV)/.installed-for-tests ## the integration tests on a store that answers late and in bursts
	RELAY_TEST_STORE=late $(BIN)/python -m twisted.trial -j$(JOBS) tests.integration

lint: $(VENV)/.installed-for-tests ## check the Python files with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-for-tests ## format all Python files with ruff
	$(BIN)/ruff format .

types: $(VENV)/.installed-for-tests ## check the types with mypy, in strict mode
	$(BIN)/mypy

docs: $(VENV)/.installed ## write docs/configuration.md and etc/relay.yaml from the configuration's types
	$(BIN)/python -m relay.cli.config_reference --write

wheel: $(VENV)/bin/python ## build the wheel into dist/
	rm -rf build dist/sms_receipt_relay-*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	rm -rf build

wheel-check: $(VENV)/.installed-for-tests ## build the wheel, install it in a new environment, and start the relay there
	$(BIN)/python .ci/wheel_check.py

.PHONY: deb release audit site

deb: wheel ## build the Debian package into dist/, for the version of Debian and Python here
	$(BIN)/python -m release.build_deb dist/sms_receipt_relay-*.whl

release: $(VENV)/.installed-for-release ## build wheel, source archive, Debian package, SBOM and checksums into dist/
	$(BIN)/python -m release.build_release

audit: $(VENV)/.installed-for-release ## look up known faults of the libraries in constraints.txt
	$(BIN)/python -m release.audit

site: $(VENV)/.installed-for-tests ## build the site of the documentation into dist/site
	$(BIN)/python -m release.build_site

browser: $(VENV)/bin/python ## install Chromium and axe-core for the browser tests (needs root; otherwise it says what is missing)
	.ci/make-browser $(VENV)

screenshots: $(VENV)/.installed-for-tests ## make the README's pictures (SHOTS=DIRECTORY for every page, at three widths, light and dark)
	$(BIN)/python -m tests.browser.screenshots $(if $(SHOTS),--all $(SHOTS))

clean: ## remove the environment and everything generated (not var/, where the journal is)
	rm -rf $(VENV) .venv-3.* build dist *.egg-info twisted/plugins/dropin.cache _trial_temp* .coverage .coverage.*
	rm -rf .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each set of requirements has its own stamp file. The set for tests includes the other.
$(VENV)/.installed: setup.cfg constraints.txt | $(VENV)/bin/python
	$(BIN)/python $(INSTALL) .
	@touch $@

$(VENV)/.installed-for-tests: setup.cfg constraints.txt | $(VENV)/bin/python
	$(BIN)/python $(INSTALL) '.[test,browser,lint,site]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-for-release: setup.cfg constraints.txt | $(VENV)/bin/python
	$(BIN)/python $(INSTALL) '.[release]'
	@touch $@

$(VENV)/bin/python:
	.ci/make-venv $(VENV)

.PHONY: coverage test-slow test-pythons constraints

coverage: $(VENV)/.installed-for-tests ## run the fast tests and measure branch coverage; fails below the figure in pyproject.toml
	$(BIN)/coverage erase
	$(BIN)/coverage run -m twisted.trial -j$(JOBS) $(FAST_TESTS); status=$$?; \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage report || status=$$?; exit $$status

test-slow: $(VENV)/.installed-for-tests ## run the other tests: real sockets and processes, simulated days, browser, fuzzing
	$(BIN)/python -m twisted.trial -j$(JOBS) $(SLOW_TESTS)

test-pythons: ## run the suite on each installed Python from 3.11 to 3.13, and say which are missing
	.ci/test-pythons $(filter-out tests,$(TESTS))

constraints: ## write constraints.txt again, with the newest versions that setup.cfg allows
	.ci/make-constraints

.PHONY: bench bench-peers bench-guard bench-history overload profile

bench: $(VENV)/.installed ## measure every row (ROWS="smpp latency" for some, SCALE=0.1 for a quick look)
	$(BIN)/python -m benchmarks $(ROWS) --scale $(or $(SCALE),1)

bench-peers: $(VENV)/.installed ## measure Kannel and Jasmin beside the relay, if they are installed
	$(BIN)/python -m benchmarks.peers --scale $(or $(SCALE),1)

bench-guard: $(VENV)/.installed ## fail if the SMPP path costs twice the recorded figure (a multiple of the floor of docs/performance.md)
	$(BIN)/python -m benchmarks.guard

bench-history: $(VENV)/.installed ## measure searches in a history of ten million messages (MESSAGES=1000000 for a quick look)
	$(BIN)/python -m benchmarks.history_size --messages $(or $(MESSAGES),10000000)

overload: $(VENV)/.installed ## measure what one customer's overload costs the others (CASES="flood dead" for some)
	$(BIN)/python -m benchmarks.overload $(CASES)

profile: $(VENV)/.installed ## show where the time goes on the SMPP path (in more detail if py-spy is installed)
	$(BIN)/python -m benchmarks.profile --scale $(or $(SCALE),1)

.PHONY: crash

crash: $(VENV)/.installed-for-tests ## kill the relay KILLS times under load, and check every message (SEED=7 for another order of events)
	CRASH_KILLS=$(or $(KILLS),20) CRASH_SEED=$(or $(SEED),1) $(BIN)/python -m twisted.trial tests.integration.test_crash

.PHONY: cluster

cluster: $(VENV)/.installed-for-tests ## start two relays with one state, and their database (needs Debian's postgresql)
	$(BIN)/python -m tests.cluster_demo

.PHONY: cluster-crash

cluster-crash: $(VENV)/.installed-for-tests ## kill, pause and cut relays of a cluster and its database KILLS times under load (SEED=7)
	CLUSTER_KILLS=$(or $(KILLS),20) CLUSTER_SEED=$(or $(SEED),1) $(BIN)/python -m twisted.trial tests.integration.test_cluster_crash

.PHONY: fuzz

fuzz: $(VENV)/.installed-for-tests ## send nearly correct input to both listeners (SECONDS=600 SEED=7), and keep each input that broke something
	RELAY_FUZZ_SECONDS=$(or $(SECONDS),120) RELAY_FUZZ_SEED=$(or $(SEED),$(shell date +%s)) $(BIN)/python -m twisted.trial tests.fuzz

.PHONY: soak

soak: $(VENV)/.installed-for-tests ## send steady traffic for SECONDS; fails if memory, open files or the journal grow
	RELAY_SOAK_SECONDS=$(or $(SECONDS),600) $(BIN)/python -m twisted.trial tests.integration.test_soak

.PHONY: count

count: $(VENV)/.installed-for-tests ## send MESSAGES (200,000), kill the relay twice, and compare all that it counts with an own count
	RELAY_COUNT=$(or $(MESSAGES),200000) $(BIN)/python -m twisted.trial tests.integration.test_count

.PHONY: simulate

simulate: $(VENV)/.installed-for-tests ## run days of traffic and faults on a simulated clock (SEED=7 COUNT=1000)
	$(BIN)/python -m tests.simulation --seed $(or $(SEED),1) --count $(or $(COUNT),1)

.PHONY: walk walk-deb

walk: $(VENV)/.installed-for-tests ## follow docs/operations.md on an empty Debian machine (as root; debootstrap, systemd-container)
	$(BIN)/python -m tests.walk

walk-deb: $(VENV)/.installed-for-tests ## install, upgrade under load and remove the Debian package on an empty machine (as root)
	$(BIN)/python -m tests.walk.deb_walk

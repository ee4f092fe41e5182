PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# The lock files are complete, so pip has nothing to resolve; what is imported is compiled then.
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-compile

.PHONY: demo test browser clock test-faults generate fuzz unit lint lock render bench bench-placement bench-scheduler clean
demo: $(VENV)/demo.stamp       ## the main job, on this machine alone
	@$(BIN)/dask-colocate demo

test: $(VENV)/test.stamp browser ## every test, on a real control plane it sets up itself
	@echo "left out: the faults, which take minutes; run them with: make test-faults"
	@$(BIN)/python -m pytest -m "not faults"

# What is the system's to install: done for root on Debian and Ubuntu, said elsewhere.
APT = if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	  && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(1) >/dev/null; \
	then echo "installed it"; else echo "install it: until then they say NOT RUN"; fi

browser:
	@for each in chromium chromium-browser google-chrome; do command -v $$each >/dev/null && exit; done; \
	echo "no Chromium on the PATH, which the tests of the status page need ..."; $(call APT,chromium)

clock:
	@ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 && exit; \
	echo "no libfaketime in /usr/lib, which the test of a stepped clock needs ..."; $(call APT,libfaketime)

test-faults: $(VENV)/test.stamp clock ## what breaks in a cluster, broken on purpose; figures are printed
	@$(BIN)/python -m pytest -s tests/faults tests/e2e/test_outage.py tests/e2e/test_certs.py tests/e2e/test_certs_oddities.py

generate: $(VENV)/test.stamp   ## two million generated inputs; ARGS="--count N --processes N"
	@$(BIN)/python -m tests.faults.generate $(ARGS)

fuzz: $(VENV)/test.stamp       ## ten minutes of coverage-guided fuzzing
	@$(BIN)/pip install --quiet --disable-pip-version-check atheris==3.0.0
	@$(BIN)/python -m tests.faults.fuzz -max_total_time=600 $(ARGS)

unit: $(VENV)/test.stamp       ## the tests that need no control plane
	@$(BIN)/python -m pytest -m "not bed and not faults"

lint: $(VENV)/test.stamp
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

lock: $(VENV)/test.stamp       ## refresh the lock files
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade pyproject.toml -o deploy/requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --group dev -c deploy/requirements.txt pyproject.toml -o tests/requirements.txt

	echo 'hatchling>=1.27' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade - -o deploy/build-requirements.txt

bench-placement: $(VENV)/test.stamp  ## nodes used over the fewest possible, on a real scheduler; ARGS=--quick for about a minute
	@$(BIN)/python -m tests.bench.placement $(ARGS)

bench-scheduler: $(VENV)/test.stamp  ## what a worker's terms cost the scheduler, 5,000 pods on 1,000 nodes; ARGS="--pods N --rounds N"
	@$(BIN)/python -m tests.bench.scheduler_cost $(ARGS)

bench: $(VENV)/test.stamp      ## what an admission costs, beside a no-op app, a Go webhook and an in-process policy; ARGS=--quick
	@$(BIN)/python -m tests.bench.admission $(ARGS)

render: $(VENV)/test.stamp     ## deploy/kustomize from deploy/chart, deploy/reference.md from the code
	@$(BIN)/python -m tests.unit.deploy.chart
	@$(BIN)/python -m tests.unit.deploy.reference

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dask-colocate needs Python 3.11 or newer; this is %s. Name another one: make PYTHON=python3.12" % sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: deploy/requirements.txt pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) ..."
	@$(INSTALL) --require-hashes -r deploy/requirements.txt
	@$(INSTALL) -e .
	@touch $@

$(VENV)/test.stamp: tests/requirements.txt $(VENV)/demo.stamp
	@echo "installing the test tools ..."
	@$(INSTALL) --require-hashes -r tests/requirements.txt
	@touch $@

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# The lock files are complete, so pip has nothing to resolve; what is imported is compiled then.
INSTALL = $(BIN)/pip install --disable-pip-version-check --no-deps --no-compile --progress-bar off
# Prints the packages while pip reads them, and nothing of what is there already.
PROGRESS = awk '/^Collecting/ { print "  " $$2; fflush() } /^Installing/ { print "  unpacking ..."; fflush() }'

# Prints the path of a Go program at its pinned version; built from its module the first time.
PROGRAM = $(BIN)/python -m tests.e2e.bed.binaries

.PHONY: help demo test browser clock test-faults generate fuzz unit lint lock render bench bench-placement bench-scheduler clean \
  test-versions test-kind notes dist chart sbom release-dry-run image-push image-digest chart-push chart-digest
help:                          ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

lint: $(VENV)/test.stamp       ## every static check, of the code and of the workflows
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports \
	  && $(BIN)/python -m tests.language
	$$($(PROGRAM) actionlint) && $(BIN)/zizmor --offline --quiet .github

lock: $(VENV)/test.stamp       ## refresh the lock files
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade pyproject.toml -o deploy/requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --group dev -c deploy/requirements.txt pyproject.toml -o tests/requirements.txt

	echo 'hatchling>=1.27' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade - -o deploy/build-requirements.txt

bench-placement: $(VENV)/test.stamp  ## nodes over the minimum possible, on a real kube-scheduler; ARGS=--quick for about a minute
	@$(BIN)/python -m tests.bench.placement $(ARGS)

bench-scheduler: $(VENV)/test.stamp  ## cost of the placement terms to kube-scheduler, 5,000 pods on 1,000 nodes; ARGS="--pods N --rounds N"
	@$(BIN)/python -m tests.bench.scheduler_cost $(ARGS)

bench: $(VENV)/test.stamp      ## what an admission costs, beside a no-op app, a Go webhook and an in-process policy; ARGS=--quick
	@$(BIN)/python -m tests.bench.admission $(ARGS)

render: $(VENV)/test.stamp     ## deploy/kustomize from deploy/chart, deploy/reference.md from the code
	@$(BIN)/python -m tests.release.version render
	@$(BIN)/python -m tests.unit.deploy.annotations
	@$(BIN)/python -m tests.unit.deploy.chart
	@$(BIN)/python -m tests.unit.deploy.reference
	@$(BIN)/python -m tests.e2e.compatibility render

test-versions: $(VENV)/test.stamp ## the compatibility suites on each supported Kubernetes; ARGS="1.30.0 --suite quota"
	@$(BIN)/python -m tests.e2e.compatibility run $(ARGS)

test-kind: $(VENV)/test.stamp  ## image and chart on a kind cluster that is deleted afterwards; needs docker; KIND_NODE=IMAGE
	docker build --tag dask-colocate:test .
	kind=$$($(PROGRAM) kind) && export KUBECONFIG=$$(mktemp) && trap "$$kind delete cluster --name dask-colocate; rm $$KUBECONFIG" EXIT \
	  && $$kind create cluster --name dask-colocate $(if $(KIND_NODE),--image $(KIND_NODE)) --wait 120s \
	  && $$kind load docker-image dask-colocate:test --name dask-colocate \
	  && TEST_IMAGE=dask-colocate:test $(BIN)/python -m pytest tests/e2e/node

# ---- release: .github/RELEASING.md gives the order ------------------------------------------------

IMAGE     ?= dask-colocate
DIGEST    ?=
PLATFORMS ?= linux/amd64,linux/arm64
VERSION    = $$($(BIN)/python -m tests.release.version)
# The locked dependencies. Of an image that is in a registry: SBOM_SOURCE=registry:IMAGE@DIGEST
SBOM_SOURCE ?= dir:deploy
SBOM        ?= dist/dask-colocate.spdx.json

notes: $(VENV)/test.stamp      ## the release notes; TAG=v1.2.3 is compared with the version
	@$(BIN)/python -m tests.release.notes $(TAG)

dist: $(VENV)/test.stamp       ## wheel and source distribution, as PyPI gets them
	rm -rf dist && mkdir dist
	$(BIN)/python -m build --outdir dist . && $(BIN)/twine check --strict dist/*.whl dist/*.tar.gz

chart: $(VENV)/test.stamp      ## the chart package, which installs IMAGE at DIGEST or at its version
	mkdir -p dist && rm -f dist/*.tgz
	$$($(PROGRAM) helm) lint --strict deploy/chart
	$(BIN)/python -m tests.release.chart --image $(IMAGE) --digest "$(DIGEST)" dist

sbom: $(VENV)/test.stamp       ## the SBOM of SBOM_SOURCE in SPDX, validated
	mkdir -p dist
	$$($(PROGRAM) syft) scan $(SBOM_SOURCE) --source-name dask-colocate --source-version "$(VERSION)" --output spdx-json=$(SBOM)
	$(BIN)/pyspdxtools --infile $(SBOM)

release-dry-run: dist chart sbom ## everything above, uploaded to registries on this machine and read back
	$(BIN)/python -m tests.release.dry_run dist

image-push: $(VENV)/test.stamp ## the image for PLATFORMS, pushed to IMAGE with SBOM and provenance
	mkdir -p dist
	docker buildx build --platform $(PLATFORMS) --build-arg VERSION="$(VERSION)" --tag $(IMAGE):"$(VERSION)" \
	  --sbom=true --provenance=mode=max --metadata-file dist/image.json --push .

image-digest:                  ## digest of the image that image-push pushed
	@sed -n 's/.*"containerimage.digest": "\([^"]*\)".*/\1/p' dist/image.json

chart-push: $(VENV)/test.stamp ## the chart package, pushed to oci://CHARTS
	$$($(PROGRAM) helm) push dist/dask-colocate-"$(VERSION)".tgz oci://$(CHARTS) > dist/chart.txt 2>&1; cat dist/chart.txt; grep -q '^Digest: ' dist/chart.txt

chart-digest:                  ## digest of the chart that chart-push pushed
	@sed -n 's/^Digest: //p' dist/chart.txt

clean:
	rm -rf $(VENV) dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dask-colocate needs Python 3.11 or newer; this is %s. Name another one: make PYTHON=python3.12" % sys.version.split()[0])'
	@echo "creating $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: deploy/requirements.txt pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV), about a minute the first time ..."; rm -f $@
	@($(INSTALL) --require-hashes -r deploy/requirements.txt && $(INSTALL) -e . && touch $@) | $(PROGRESS); test -e $@

$(VENV)/test.stamp: tests/requirements.txt $(VENV)/demo.stamp
	@echo "installing the test tools, some minutes the first time ..."; rm -f $@
	@($(INSTALL) --require-hashes -r tests/requirements.txt && touch $@) | $(PROGRESS); test -e $@

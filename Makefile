PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# The lock files list all dependencies, so pip resolves nothing. Python compiles modules at their first import.
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-compile

# Print the path of a Go program at its pinned version; build it from its module at the first use.
PROGRAM = $(BIN)/python -m tests.e2e.bed.binaries

.PHONY: demo test browser clock test-faults generate fuzz unit lint lock render bench bench-placement bench-scheduler clean \
  test-versions test-kind notes dist chart sbom release-dry-run image-push image-digest chart-push chart-digest
demo: $(VENV)/demo.stamp       ## run the webhook on this machine with the cluster of the RAPIDS guide
	@$(BIN)/dask-colocate demo

test: $(VENV)/test.stamp browser ## run all tests but the fault tests, on a real control plane
	@echo "excluded: the fault tests, which take minutes; run them with: make test-faults"
	@$(BIN)/python -m pytest -m "not faults"

# Install a system package as root on Debian and Ubuntu; elsewhere print that it is missing.
APT = if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	  && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(1) >/dev/null; \
	then echo "installed $(1)"; else echo "install $(1) to run these tests; without it they are skipped (NOT RUN)"; fi

browser:
	@for program in chromium chromium-browser google-chrome; do command -v $$program >/dev/null && exit; done; \
	echo "the tests of the status page need Chromium on the PATH"; $(call APT,chromium)

clock:
	@ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 && exit; \
	echo "the test of a changed clock needs libfaketime in /usr/lib"; $(call APT,libfaketime)

test-faults: $(VENV)/test.stamp clock ## run the fault tests: outages, overload and certificate problems; prints measurements
	@$(BIN)/python -m pytest -s tests/faults tests/e2e/test_outage.py tests/e2e/test_certs.py tests/e2e/test_certs_oddities.py

generate: $(VENV)/test.stamp   ## test two million generated inputs; ARGS="--count N --processes N"
	@$(BIN)/python -m tests.faults.generate $(ARGS)

fuzz: $(VENV)/test.stamp       ## run coverage-guided fuzzing for ten minutes
	@$(BIN)/pip install --quiet --disable-pip-version-check atheris==3.0.0
	@$(BIN)/python -m tests.faults.fuzz -max_total_time=600 $(ARGS)

unit: $(VENV)/test.stamp       ## run the tests that need no control plane
	@$(BIN)/python -m pytest -m "not bed and not faults"

lint: $(VENV)/test.stamp       ## run all static checks of code and workflows
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports \
	  && $(BIN)/python -m tests.language
	$$($(PROGRAM) actionlint) && $(BIN)/zizmor --offline --quiet .github

lock: $(VENV)/test.stamp       ## update the lock files
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade pyproject.toml -o deploy/requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --group dev -c deploy/requirements.txt pyproject.toml -o tests/requirements.txt

	echo 'hatchling>=1.27' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade - -o deploy/build-requirements.txt

bench-placement: $(VENV)/test.stamp  ## measure nodes over the minimum possible on a real kube-scheduler; ARGS=--quick takes a minute
	@$(BIN)/python -m tests.bench.placement $(ARGS)

bench-scheduler: $(VENV)/test.stamp  ## measure the cost of the placement terms to kube-scheduler, 2,000 pods on 500 nodes; ARGS="--pods N --rounds N"
	@$(BIN)/python -m tests.bench.scheduler_cost $(ARGS)

bench: $(VENV)/test.stamp      ## measure the cost of an admission and compare it with a no-op app, a Go webhook and an in-process policy; ARGS=--quick
	@$(BIN)/python -m tests.bench.admission $(ARGS)

render: $(VENV)/test.stamp     ## generate deploy/kustomize, deploy/reference.md and deploy/compatibility.md
	@$(BIN)/python -m tests.release.version render
	@$(BIN)/python -m tests.unit.deploy.annotations
	@$(BIN)/python -m tests.unit.deploy.chart
	@$(BIN)/python -m tests.unit.deploy.reference
	@$(BIN)/python -m tests.e2e.compatibility render

test-versions: $(VENV)/test.stamp ## run the compatibility suites on each supported Kubernetes version; ARGS="1.30.0 --suite quota"
	@$(BIN)/python -m tests.e2e.compatibility run $(ARGS)

test-kind: $(VENV)/test.stamp  ## test image and chart on a temporary kind cluster; needs docker; KIND_NODE=IMAGE
	docker build --tag dask-colocate:test .
	kind=$$($(PROGRAM) kind) && export KUBECONFIG=$$(mktemp) && trap "$$kind delete cluster --name dask-colocate; rm $$KUBECONFIG" EXIT \
	  && $$kind create cluster --name dask-colocate $(if $(KIND_NODE),--image $(KIND_NODE)) --wait 120s \
	  && $$kind load docker-image dask-colocate:test --name dask-colocate \
	  && TEST_IMAGE=dask-colocate:test $(BIN)/python -m pytest tests/e2e/node

# ---- release: see .github/RELEASING.md for the order ------------------------------------------------

IMAGE     ?= dask-colocate
DIGEST    ?=
PLATFORMS ?= linux/amd64,linux/arm64
VERSION    = $$($(BIN)/python -m tests.release.version)
# Default: the locked dependencies. For an image in a registry: SBOM_SOURCE=registry:IMAGE@DIGEST
SBOM_SOURCE ?= dir:deploy
SBOM        ?= dist/dask-colocate.spdx.json

notes: $(VENV)/test.stamp      ## print the release notes; TAG=v1.2.3 is compared with the version
	@$(BIN)/python -m tests.release.notes $(TAG)

dist: $(VENV)/test.stamp       ## build wheel and source distribution for PyPI
	rm -rf dist && mkdir dist
	$(BIN)/python -m build --outdir dist . && $(BIN)/twine check --strict dist/*.whl dist/*.tar.gz

chart: $(VENV)/test.stamp      ## package the chart with IMAGE at DIGEST, or at its version
	mkdir -p dist && rm -f dist/*.tgz
	$$($(PROGRAM) helm) lint --strict deploy/chart
	$(BIN)/python -m tests.release.chart --image $(IMAGE) --digest "$(DIGEST)" dist

sbom: $(VENV)/test.stamp       ## create and validate the SBOM of SBOM_SOURCE in SPDX
	mkdir -p dist
	$$($(PROGRAM) syft) scan $(SBOM_SOURCE) --source-name dask-colocate --source-version "$(VERSION)" --output spdx-json=$(SBOM)
	$(BIN)/pyspdxtools --infile $(SBOM)

release-dry-run: dist chart sbom ## build everything above, upload it to local registries and read it back
	$(BIN)/python -m tests.release.dry_run dist

image-push: $(VENV)/test.stamp ## build the image for PLATFORMS and push it to IMAGE with SBOM and provenance
	mkdir -p dist
	docker buildx build --platform $(PLATFORMS) --build-arg VERSION="$(VERSION)" --tag $(IMAGE):"$(VERSION)" \
	  --sbom=true --provenance=mode=max --metadata-file dist/image.json --push .

image-digest:                  ## print the digest of the image that image-push pushed
	@sed -n 's/.*"containerimage.digest": "\([^"]*\)".*/\1/p' dist/image.json

chart-push: $(VENV)/test.stamp ## push the chart package to oci://CHARTS
	$$($(PROGRAM) helm) push dist/dask-colocate-"$(VERSION)".tgz oci://$(CHARTS) > dist/chart.txt 2>&1; cat dist/chart.txt; grep -q '^Digest: ' dist/chart.txt

chart-digest:                  ## print the digest of the chart that chart-push pushed
	@sed -n 's/^Digest: //p' dist/chart.txt

clean:
	rm -rf $(VENV) dist

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

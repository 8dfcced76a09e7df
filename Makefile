# make demo    a head from the example photo, as a bundle and as a Blender file
# make test    the fast tests      make test-all   the slow ones too (Blender in child processes)
# make extension   the zip that Blender installs     make bench   time and memory     make lint
#
# Everything lives in .venv, which the first command makes. A CUDA build of torch, or another
# mirror of the CPU build:  make setup TORCH_INDEX=https://download.pytorch.org/whl/cu128

SYSTEM_PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.id3d-ready
TORCH_INDEX ?=
# Blender's wheel exists for one Python version only; without it, .blend, FBX and USD are left out.
EXTRAS := train,dev,dmtet$(shell $(SYSTEM_PYTHON) -c 'import sys; print(",bpy" * (sys.version_info[:2] == (3, 11)))')

.PHONY: setup demo test test-all extension bench lint checksums

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(SYSTEM_PYTHON) -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --upgrade pip
	$(PYTHON) -m pip install --quiet -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(PYTHON) -m pip install --quiet -c constraints.txt -e ".[$(EXTRAS)]"
	touch $(READY)

demo: $(READY)
	mkdir -p runs
	$(PYTHON) -m id3d_engine generate examples/portrait.jpg --out runs/demo.head --preset draft \
		--blend runs/demo.blend --overwrite
	@echo "pictures: runs/demo.head/preview.png   Blender: runs/demo.blend   other tools: runs/demo.head/head.glb"

test: $(READY)
	$(PYTHON) -m pytest

test-all: $(READY)
	$(PYTHON) -m pytest -m "not gpu"

# Blender's own tool, from its Python module: it also validates the manifest.
extension: $(READY)
	mkdir -p dist
	$(PYTHON) $$($(PYTHON) -c 'import glob, importlib.util as u; root = u.find_spec("bpy").submodule_search_locations[0]; \
		print(glob.glob(root + "/*/scripts/addons_core/bl_pkg/cli/blender_ext.py")[0])') \
		build --source-dir . --output-dir dist
	@ls -l dist/*.zip

bench: $(READY)
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(PYTHON) $$script || exit 1; done

lint: $(READY)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

# After the starter prior was rebuilt: record what `id3d doctor` compares with.
checksums: $(READY)
	$(PYTHON) -c "from id3d_engine.doctor import write_checksums; print(write_checksums())"

"""House rules that no reader should have to check: who imports whom, sizes, and clean paths."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENGINE, ADDON = ROOT / "id3d_engine", ROOT / "blender_addon"
LONGEST, MEDIAN = 500, 170

# What each package of the engine may import of the engine; everything may import the vocabulary.
VOCABULARY = {
    "__version__", "creases", "digest", "errors", "expressions", "job", "png", "strands", "subjects",
    "template",
}  # fmt: skip
LAYERS = {
    "render": set(),
    "identity": {"render"},
    "rig": set(),
    "assets": {"render", "rig"},
    "models": set(),
    "priors": {"render", "identity", "assets", "device", "models"},
    "geometry": {"render", "priors", "rig", "live"},
    "appearance": {"render", "priors", "assets", "live"},
    "groom": {"assets", "geometry"},
    "raw": {"render", "geometry", "appearance"},
    "blender_scene": set(),
    "export": {"head", "blender_scene"},
}
# Run once by hand; they may look up.
TOOLS = {"assets/build_template.py", "identity/build_face_mesh.py", "identity/build_silhouette.py"}
BLENDER_ONLY = {"bpy", "bpy_extras", "bmesh", "mathutils", "gpu", "blf"}


def project_files() -> list[Path]:
    """What git tracks or would track, without the shipped weights."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(level, dotted name) of every import statement, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((node.level, name) for name in names)


def engine_targets(path: Path) -> set[str]:
    """First-level names of the engine that a module of the engine imports."""
    package = path.relative_to(ENGINE).parent.parts
    found = set()
    for level, name in imports(path):
        if level:
            assert level <= len(package) + 1, f"{path} imports from outside the engine"
            found.add((*package[: len(package) - level + 1], *name.split("."))[0])
    return found


def test_only_the_blender_side_imports_bpy() -> None:
    for path in ENGINE.rglob("*.py"):
        place = path.relative_to(ENGINE).as_posix()
        outside = {name.partition(".")[0] for level, name in imports(path) if not level}
        if place != "export/blend.py" and not place.startswith("blender_scene/"):
            assert not outside & BLENDER_ONLY, place
        assert "id3d_engine" not in outside, f"{place}: import the engine relatively"


def test_the_addon_imports_bpy_the_standard_library_and_requests() -> None:
    allowed = BLENDER_ONLY | {"requests"} | set(sys.stdlib_module_names)
    paths = list(ADDON.rglob("*.py"))
    assert paths
    for path in [*paths, ROOT / "__init__.py"]:
        outside = {name.partition(".")[0] for level, name in imports(path) if not level}
        assert outside <= allowed, (path.name, outside - allowed)


def test_blender_needs_neither_torch_nor_any_other_package() -> None:
    # What the add-on imports of the engine runs inside Blender, which has numpy and no torch.
    allowed = BLENDER_ONLY | {"numpy"} | set(sys.stdlib_module_names)
    for path in (ENGINE / "blender_scene").rglob("*.py"):
        outside = {name.partition(".")[0] for level, name in imports(path) if not level}
        assert outside <= allowed, (path.name, outside - allowed)


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_look_down_only(layer: str) -> None:
    for path in (ENGINE / layer).rglob("*.py"):
        if path.relative_to(ENGINE).as_posix() in TOOLS:
            continue
        extra = engine_targets(path) - LAYERS[layer] - VOCABULARY - {layer}
        assert not extra, f"{path.relative_to(ROOT)} imports {', '.join(sorted(extra))}"


def test_importing_the_package_is_light() -> None:
    code = "import id3d_engine, sys; print(sorted({'torch', 'numpy', 'PIL', 'bpy'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_files_are_short() -> None:
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for path in project_files()
        if path.suffix == ".py"
    }
    long = {path.relative_to(ROOT).as_posix(): n for path, n in lengths.items() if n > LONGEST}
    assert not long
    own = [n for path, n in lengths.items() if path.is_relative_to(ENGINE) and n > 10]
    assert statistics.median(own) <= MEDIAN


def test_no_path_of_any_machine_and_no_pickle() -> None:
    machine = re.compile(r"(?<![\w.~/])/(?:work|root|home/\w+|Users/\w+)/\w+|[A-Z]:\\Users")
    for path in project_files():
        assert path.suffix not in {".pt", ".pth", ".ckpt", ".pkl", ".bin", ".npy"}, path
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found = machine.search(text)
        assert not found, f"{path.relative_to(ROOT)} names {found.group()}"
        if path.suffix == ".py" and path != Path(__file__):
            assert not re.search(r"^\s*(?:import|from) pickle|torch\.(?:save|load)\(", text, re.M), path


def test_public_names_are_documented() -> None:
    for path in ENGINE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree) or not tree.body, f"{path.relative_to(ROOT)} has no docstring"
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            assert ast.get_docstring(node), f"{path.relative_to(ROOT)}: {node.name} has no docstring"

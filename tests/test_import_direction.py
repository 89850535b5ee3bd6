"""Three rooms, and imports that go one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "wtal_eval": (ROOT / "eval" / "wtal_eval", {"torch", "wtal", "wtal_features"}),
    "wtal_features": (ROOT / "features" / "wtal_features", {"wtal", "wtal_eval"}),
}
# Packages that may come with a heavy import only inside a function.
LAZY = {
    "wtal_eval": {"pandas", "matplotlib", "scipy", "orjson"},
    "wtal_features": {"torch", "h5py", "av", "cv2", "transformers", "ray"},
    "wtal": {"matplotlib", "pandas", "faiss", "ray"},
}


# Networks are torch throughout; these folders are imported inside functions only.
NETWORKS = ("encoders", "checkpoints", "methods", "retrieval")


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of everything a tree imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def at_import(tree: ast.Module) -> set[str]:
    """What runs when the module is imported: functions and TYPE_CHECKING blocks are left out."""
    kept = [
        node
        for node in tree.body
        if not isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    return imported(ast.Module(kept, []))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_imports_what_its_room_must_not_know(package: str) -> None:
    folder, forbidden = PACKAGES[package]
    files = sorted(folder.rglob("*.py"))
    assert len(files) > 5
    for path in files:
        wrong = imported(ast.parse(path.read_text())) & forbidden
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize("package", LAZY)
def test_optional_packages_are_imported_inside_functions(package: str) -> None:
    folder = PACKAGES[package][0] if package in PACKAGES else ROOT / package
    for path in sorted(folder.rglob("*.py")):
        lazy = LAZY[package]
        if path.relative_to(folder).parts[0] in NETWORKS:
            lazy = lazy - {"torch"}
        early = at_import(ast.parse(path.read_text())) & lazy
        assert not early, f"{path.relative_to(ROOT)} imports {early} when it is imported"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import wtal_eval; wtal_eval.evaluate", {"torch", "wtal", "wtal_features", "pandas"}),
        (
            "import wtal_features, wtal_features.extraction",
            {"torch", "wtal", "wtal_eval", "h5py", "av", "cv2", "transformers"},
        ),
        ("import wtal, wtal.cli", {"torch", "pandas", "matplotlib", "numpy"}),
    ],
)
def test_a_fresh_interpreter_loads_no_more_than_it_needs(statement: str, absent: set[str]) -> None:
    paths = [str(ROOT), str(ROOT / "features"), str(ROOT / "eval")]
    code = f"import sys; sys.path[:0] = {paths!r}; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not absent & set(done.stdout.split())

"""The shape of the house: the daemon stays light, and each package imports nothing by being imported."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "optimum", "onnx", "onnxscript", "matplotlib", "PIL", "exporters")
MAX_FUNCTION_LINES = 70

# importlib.import_module("torch") and an import in __init__ are what import-linter does not see; a fresh interpreter does.
LOADED = "import sys; {statement}; print(*sorted(name for name in sys.modules if name.split('.')[0] in {heavy!r}))"


def loaded_after(statement: str) -> list[str]:
    """Heavy modules in `sys.modules` of a fresh interpreter after a statement."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(statement=statement, heavy=HEAVY)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout.split()


@pytest.mark.parametrize("statement", ["import edge.daemon, edge.__main__", "from edge.__main__ import main"])
def test_the_daemon_never_loads_the_toolchain(statement: str) -> None:
    """No torch, transformers, onnx, optimum or exporters in the daemon's process."""
    assert loaded_after(statement) == []


@pytest.mark.parametrize("arguments", [["--help"], ["boards"]])
def test_the_export_command_starts_without_torch(arguments: list[str]) -> None:
    """Help and boards answer before anything heavy is imported."""
    statement = f"import sys; sys.argv = ['edge-export', *{arguments!r}]\ntry:\n    from exporters.__main__ import main; main()\nexcept SystemExit: pass\nsys.stdout = sys.__stdout__; print('---')"
    script = statement + f"\nprint(*sorted(name for name in sys.modules if name in {('torch', 'transformers')!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.rpartition("---")[2].split() == []


@pytest.mark.parametrize(("package", "loaded"), [("edge", {"edge"}), ("exporters", {"edge", "exporters"})])
def test_importing_a_package_imports_nothing(package: str, loaded: set[str]) -> None:
    """The package alone, which says to its dependencies what they must not do; no module of it, no library."""
    script = f"import sys; before = set(sys.modules); import {package}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(done.stdout.split()) == loaded


def sources() -> list[Path]:
    """Every module of the two packages."""
    return sorted(path for package in ("edge", "exporters") for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_and_its_functions_are_short(path: Path) -> None:
    """Each module opens with a sentence, and no function is longer than one screen."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.name != "__init__.py":
        assert ast.get_docstring(tree), "no module docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("folder", ["benchmarks", "examples", "tests/stand"])
def test_nothing_but_tests_imports_a_test(folder: str) -> None:
    """The import contract lists the folders of tests; a test file beside them is found here."""
    taken = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(from|import) tests\b(?!\.stand\b)", line)
    }
    assert taken == set()

"""The shape of the house: the daemon stays light, and each package imports nothing by being imported."""

from __future__ import annotations

import ast
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


@pytest.mark.parametrize("package", ["edge", "exporters"])
def test_the_packages_are_empty(package: str) -> None:
    """Importing a package must import nothing."""
    assert (ROOT / package / "__init__.py").read_text(encoding="utf-8").strip() == ""


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

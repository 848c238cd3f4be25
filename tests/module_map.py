"""`edge/README.md` and `exporters/README.md`: each module with its one sentence, in the order of the import contracts."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
INTRODUCTION = {
    "edge": (
        "The daemon",
        (
            "A frame or a reading comes in at `intake`, is judged, and leaves as a flag and an alarm. The story stands at the top; each folder "
            "is one part of it. A module imports only from the rows below its own; `make check` holds that."
        ),
    ),
    "exporters": (
        "The toolchain",
        (
            "A checkpoint, a recipe and the plant's own pictures become a bundle with its proof. The story stands at the top; each folder is "
            "one part of it. A module imports only from the rows below its own; `make check` holds that."
        ),
    ),
}


@cache
def _contracts() -> dict[str, tuple[str, list[list[str]]]]:
    """The layers contracts: by package, what it says of itself and its rows of modules."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = {}
    for contract in document["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers":
            rows = [[name.strip() for name in row.split("|")] for row in contract["layers"]]
            for container in contract.get("containers", ()):
                found[container] = (contract["name"], rows)
    return found


def sentence(module: Path) -> str:
    """The first paragraph of a module's docstring, in one line.

    Raises:
        ValueError: it has none.
    """
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    if not text:
        raise ValueError(f"{module.relative_to(ROOT)} has no docstring; say in one sentence what it is")
    return " ".join(text.split("\n\n")[0].split())


def _modules(package: str, rows: list[list[str]]) -> Iterator[tuple[str, Path]]:
    """Every module and folder of a package in the order of its contract; what no contract names comes last, by name."""
    folder = ROOT / package.replace(".", "/")
    there = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    named = [name for row in rows for name in row]
    for name in [*named, *sorted(there - set(named) - {"__init__"})]:
        yield name, folder / name


def _wing(package: str, name: str) -> Iterator[str]:
    title, rows = _contracts().get(f"{package}.{name}", (name, []))
    said = title.partition(": ")[2] or title
    yield f"\n### {name}/\n\n{said[:1].upper()}{said[1:]}.\n\n| module | what it is |\n|---|---|"
    for module, path in _modules(f"{package}.{name}", rows):
        if path.with_suffix(".py").exists():
            yield f"| [{module}]({name}/{module}.py) | {sentence(path.with_suffix('.py'))} |"


def module_map(package: str) -> str:
    """The page of a package: its story, then its folders."""
    title, text = INTRODUCTION[package]
    _, rows = _contracts().get(package, ("", []))
    modules = list(_modules(package, rows))
    story = [(name, path.with_suffix(".py")) for name, path in modules if path.with_suffix(".py").exists()]
    wings = [name for name, path in modules if path.is_dir()]
    lines = [f"# {title}\n\nGenerated from the modules' own first sentences (`make docs`).\n\n{text}\n"]
    lines.append("## The story\n\n| module | what it is |\n|---|---|")
    lines += [f"| [{name}]({name}.py) | {sentence(path)} |" for name, path in story]
    lines.append("\n## The folders")
    for name in wings:
        lines += _wing(package, name)
    return "\n".join(lines) + "\n"

"""Benchmarks by name, or every one that runs unattended: ``python -m benchmarks [NAME ...]``; the names stand in bars.toml."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys

from benchmarks.bars import Benchmark, benchmarks, look
from benchmarks.report import MISSED


def main() -> int:
    """Run each as a process of its own, so that none inherits another's threads and memory; 1 if one did not run or missed a bar unexplained."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = {benchmark.name: benchmark for benchmark in benchmarks()}
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    names = parser.parse_args().names or [name for name, benchmark in known.items() if not benchmark.alone]
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    failed = [text for name in names if (text := _outcome(known[name], _run(known[name])))]
    print("\n".join(failed) or "every bar is met or its miss explained; see benchmarks/results")
    return bool(failed)


def _run(benchmark: Benchmark) -> int:
    command = [sys.executable, "-m", benchmark.module, *shlex.split(benchmark.arguments)]
    return subprocess.run(command, check=False).returncode


def _outcome(benchmark: Benchmark, status: int) -> str:
    """What to say of an exit status: nothing of 0, nor of a miss that `bars.toml` explains."""
    if status == MISSED:
        found = [look(bar) for bar in benchmark.bars if not bar.missed]
        missed = [f"{one.bar.of} {one.figure}, {one.bar.bound}" for one in found if not one.met]
        return f"{benchmark.name}: missed {'; '.join(missed)}" if missed else ""
    return f"{benchmark.name}: did not run, status {status}" if status else ""


if __name__ == "__main__":
    sys.exit(main())

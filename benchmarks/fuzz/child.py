"""Fuzzes one target in a process of its own: `python -m benchmarks.fuzz.child TARGET FOLDER [options of libFuzzer]`.

Runs where atheris and the daemon are installed, and nothing else of the project's. The process ends as libFuzzer does: 0, or not where an input broke
a promise.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["edge"], enable_loader_override=False):
    from benchmarks.fuzz import targets
from benchmarks.fuzz.json_mutation import mutated


def mutate(sent: bytes, largest_bytes: int, seed: int) -> bytes:
    """Half of the inputs that are JSON, with or without a first byte that chooses, are changed as JSON; all others as bytes."""
    chance = random.Random(seed)
    if chance.random() < 0.5:
        for start in (0, 1):
            changed = mutated(sent[start:], chance)
            if changed is not None and start + len(changed) <= largest_bytes:
                return sent[:start] + changed
    return bytes(atheris.Mutate(sent, largest_bytes))


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough."""
    program, name, folder, *options = sys.argv
    read = targets.held(targets.named(name).make(Path(folder)))
    atheris.Setup([program, *options], read, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""The fuzz targets without the fuzzer: they read their seeds and small damage to them, and notice what they are there to notice."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.fuzz.__main__ import prepared
from benchmarks.fuzz.json_mutation import ODD, mutated
from benchmarks.fuzz.seeds import seeds_of, words_of
from benchmarks.fuzz.targets import BOUND_S, TARGETS, BrokenPromiseError, Target, held

ROOT = Path(__file__).parents[2]
MUTANTS = 300

every_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


@every_target
def test_a_target_reads_its_seeds_and_refuses_damage_in_words(target: Target, tmp_path: Path) -> None:
    """Some seed is read to its end and some is refused, so both ways are where fuzzing begins; damaged ones break no promise."""
    read = held(target.make(prepared(target, tmp_path)))
    seeds = seeds_of(target.name)
    outcomes = {read(seed) for seed in seeds}
    assert "read" in outcomes
    chance = random.Random(8)
    words = words_of(seeds) or [b"\xff\xd9"]
    outcomes |= {read(damaged(chance, chance.choice(seeds), words)) for _ in range(MUTANTS)}
    assert len(outcomes) > 1


@every_target
def test_a_seed_fits_into_what_is_tried(target: Target) -> None:
    """A longer one would be cut by the fuzzer, and never read."""
    assert max(map(len, seeds_of(target.name))) <= target.largest_bytes


GREEDY = """
from benchmarks.fuzz.targets import BOUND_MB, BrokenPromiseError, held
try:
    held(lambda sent: str(len(bytearray(b"x") * (BOUND_MB * 2_000_000))))(b"")
except BrokenPromiseError as broken:
    print(broken)
"""


@pytest.mark.slow
def test_an_input_that_takes_too_much_memory_breaks_a_promise() -> None:
    """In a process of its own: what counts is the most that it ever held, and this one has held much."""
    done = subprocess.run([sys.executable, "-c", GREEDY], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "MB more" in done.stdout


def test_another_error_and_a_slow_input_break_a_promise() -> None:
    """What is not the project's own error escapes to the fuzzer; so does an input that takes too much time."""

    def clumsy(sent: bytes) -> str:
        return str(sent[0])

    with pytest.raises(IndexError):
        held(clumsy)(b"")
    assert held(clumsy)(b"\x07") == "7"

    def slow(_sent: bytes) -> str:
        end_s = time.thread_time() + 1.1 * BOUND_S
        while time.thread_time() < end_s:
            pass
        return "read"

    with pytest.raises(BrokenPromiseError, match="processor time"):
        held(slow)(b"")


def test_json_that_was_changed_is_json_and_not_the_same() -> None:
    """Every place of a document may be hit: other values, keys that are gone or new; what is no JSON is left to others."""
    document = json.dumps({"a": [1, {"b": "c"}], "d": None}).encode()
    found = {mutated(document, random.Random(seed)) for seed in range(300)}
    assert None not in found
    assert len(found) > 200
    assert {type(json.loads(one)) for one in found if one is not None} >= {dict, list, str, type(None)}
    assert mutated(b"\xff\xd8\xff", random.Random(1)) is None


def test_json_may_be_changed_again_and_again() -> None:
    """What one change put in is another one's to change; nothing is shared between documents, so none comes to hold itself."""
    chance, sent = random.Random(2), b"[{}]"
    for _ in range(2_000):
        changed = mutated(sent, chance)
        assert changed is not None
        sent = changed if len(changed) < 500 else b"[{}]"
    assert [] in ODD


def damaged(chance: random.Random, seed: bytes, words: list[bytes]) -> bytes:
    """A seed with a few bytes flipped, cut, repeated, or replaced by a word of others."""
    sent = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(sent) + 1)
        match chance.randrange(4):
            case 0 if at < len(sent):
                sent[at] ^= 1 << chance.randrange(8)
            case 1:
                del sent[at : at + chance.randint(1, 20)]
            case 2:
                sent[at:at] = sent[at : at + chance.randint(1, 20)]
            case _:
                word = chance.choice(words)
                sent[at : at + len(word)] = word
    return bytes(sent)

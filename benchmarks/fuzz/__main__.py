"""Coverage-guided fuzzing of every parser that outsiders can reach, by `make fuzz`.

    python -m benchmarks.fuzz --python build/fuzz-venv/bin/python --minutes 5

Each target is fuzzed by atheris in a process of its own, from the project's own examples on. An input that breaks a promise is kept in build/fuzz and
counted as a crash; `python -m benchmarks.fuzz --again FILE --targets NAME` tells what it does, without atheris.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.fuzz.seeds import bundle_files, seeds_of, words_of
from benchmarks.fuzz.targets import BOUND_MB, BOUND_S, TARGETS, Target, held, named

ROOT = Path(__file__).parents[2]
FOUND = ROOT / "build/fuzz"
FINAL = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
COVERED = re.compile(r"\bcov: (\d+)")
KEPT = re.compile(r"\bcorp: (\d+)/")
LIMIT_S, LIMIT_MB = 20, 2_048  # libFuzzer's own: where even our bounds are not reached
Row = dict[str, object]


def main() -> None:
    """Fuzz, or run one input again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, help="interpreter of an environment with atheris and the daemon")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each target")
    names = [target.name for target in TARGETS]
    parser.add_argument("--targets", nargs="+", choices=names, default=names)
    parser.add_argument("--again", type=Path, help="an input that was kept: run it once on the targets")
    options = parser.parse_args()
    chosen = [named(name) for name in options.targets]
    if options.again is not None:
        for target in chosen:
            print(target.name, again(target, options.again.read_bytes()))
        return
    if options.python is None:
        parser.error("say --python: an environment with atheris and the daemon, or use `make fuzz`")
    rows = [fuzz(target, options.python, options.minutes) for target in chosen]
    report.write(
        "fuzz",
        title="Coverage-guided fuzzing: what outsiders can send",
        rows=rows,
        notes=[
            (
                f"A crash is any error but the project's own, more than {BOUND_S} s of processor time or {BOUND_MB} MB more memory for one input, a "
                "refusal that cannot be told, a message that leaves no trace, a command that is carried out twice, or a manifest that is another one "
                "when written again."
            ),
            "kept: inputs that reached new code. branches: what atheris counts as covered in `edge`, at the end.",
        ],
    )


def prepared(target: Target, folder: Path) -> Path:
    """A folder for a target's reader; only manifests need what is in it."""
    if target.name == "manifest":
        for name, content in bundle_files().items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    return folder


def again(target: Target, sent: bytes) -> str:
    """What comes of one input."""
    with tempfile.TemporaryDirectory() as folder:
        return held(target.make(prepared(target, Path(folder))))(sent)


def fuzz(target: Target, python: Path, minutes: float) -> Row:
    """Fuzz one target; returns its line of the table."""
    seeds = seeds_of(target.name)
    FOUND.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work, corpus, words = prepared(target, folder / "work"), folder / "corpus", folder / "words"
        work.mkdir(exist_ok=True)
        corpus.mkdir()
        for number, seed in enumerate(seeds):
            (corpus / f"seed-{number:03d}").write_bytes(seed)
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in words_of(seeds)), encoding="ascii")
        options = [
            str(corpus),
            f"-dict={words}",
            f"-max_len={target.largest_bytes}",
            f"-max_total_time={round(minutes * 60)}",
            f"-timeout={LIMIT_S}",
            f"-rss_limit_mb={LIMIT_MB}",
            f"-artifact_prefix={FOUND / target.name}-",
            "-print_final_stats=1",
        ]
        done = subprocess.run(
            [str(python), "-m", "benchmarks.fuzz.child", target.name, str(work), *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    said = done.stdout + done.stderr
    inputs = FINAL.findall(said)
    if done.returncode != 0 or not inputs:
        print(done.stdout[-4_000:], done.stderr[-1_000:], file=sys.stderr)
    if not inputs and "Test unit written" not in said:
        raise SystemExit(f"{target.name} was not fuzzed: is atheris in the environment of {python}?")
    row: Row = {
        "target": target.name,
        "what": target.what,
        "seeds": len(seeds),
        "minutes": minutes,
        "inputs run": int(inputs[-1]) if inputs else 0,
        "kept": int((KEPT.findall(said) or ["0"])[-1]),
        "branches": int((COVERED.findall(said) or ["0"])[-1]),
        "crashes": int(done.returncode != 0),
    }
    print(row, flush=True)
    return row


def _escaped(word: bytes) -> str:
    return "".join(chr(byte) if chr(byte).isalnum() else f"\\x{byte:02x}" for byte in word if byte < 128)


if __name__ == "__main__":
    report.run(main)

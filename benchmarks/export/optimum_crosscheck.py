"""The same checkpoint through two exporters: optimum's, in an environment of its own, and ours; evidence on the recipe's pictures.

    python -m benchmarks.export.optimum_crosscheck RECIPE --python build/optimum-venv/bin/python

It is what `edge-export build --crosscheck` does, without the rest of the build: `make crosscheck`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks import report
from edge.errors import EdgeError
from exporters import load
from exporters.job import prepare
from exporters.pictures.images import load_dataset
from exporters.progress import Progress
from exporters.proof.crosscheck import crosscheck_build, peer_of

BOARD = "x86-64-avx2"  # decides nothing here: the float graph is the same for every board


def main() -> None:
    """Compare and write the result."""
    parser = argparse.ArgumentParser(description="Cross-check a dual encoder against optimum's export.")
    parser.add_argument("recipe", type=Path, help="recipe.toml, with its pictures")
    parser.add_argument("--python", type=Path, required=True, help="interpreter that has optimum")
    options = parser.parse_args()
    try:
        job, peer = prepare(options.recipe, BOARD), peer_of(options.python)
        dataset = load_dataset(job.recipe, job.base, job.input)
        model = load.load(job.checkpoint, job.family)
        with tempfile.TemporaryDirectory(prefix="crosscheck-") as work:
            found = crosscheck_build(
                job, model, dataset, peer=peer, folder=Path(work), step=Progress(print, time.monotonic)
            )
    except EdgeError as error:
        raise SystemExit(f"crosscheck: {error}") from error
    assert found is not None
    report.write(
        "optimum_crosscheck",
        title="The same checkpoint through optimum and through ours",
        rows=[
            {
                "checkpoint": job.checkpoint.folder.name,
                "pictures": found.pictures,
                "faults": found.faults,
                "phrasings": len({phrase for one in job.questions for phrase in (*one.words, *one.normal_words)}),
                "largest difference of evidence": f"{found.largest_difference:.1e}",
                "spread of evidence": round(found.spread, 1),
            }
        ],
        notes=[
            f"The other side: {', '.join(found.versions)}.",
            "Evidence: mean logit of a fault's phrasings less that of its normal state's, per picture; both graphs in ONNX Runtime, float32.",
        ],
    )


if __name__ == "__main__":
    report.run(main)

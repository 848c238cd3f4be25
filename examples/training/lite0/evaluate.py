"""Measures a checkpoint on scenes and pictures that it was not trained on: ``python -m examples.training.lite0.evaluate CHECKPOINT``."""

from __future__ import annotations

from examples.training.lite0.encoder import Encoder
from examples.training.siglip.evaluate import report

PARTS = ("line", "held_out_pairs", "ground", "xsdd", "bsdata", "pan")  # the sets that its words cover


def main(arguments: list[str] | None = None) -> None:
    """Measure words on Lite0."""
    report("python -m examples.training.lite0.evaluate", Encoder, arguments, PARTS)


if __name__ == "__main__":
    main()

"""Scores of recorded pictures, in one process or several: a picture has the same scores wherever it is computed, so the results are equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge.assembly import load_engine
from edge.bundle import Bundle, open_bundle
from edge.errors import InferenceFailed, RejectedInput
from edge.inference.engine import Engine
from edge.inference.preprocess import CALIBRATION, Preprocessor
from edge.replay.crew import spread

CHUNK = 32  # pictures that a process takes at a time


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of one picture by fault; None: the graph gave none, and `problem` says why."""

    scores: tuple[float, ...] | None
    problem: str = ""


class Scorer:
    """One loaded bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._engine: Engine = load_engine(bundle)
        self._preprocessor = Preprocessor(bundle.manifest.frame_input, CALIBRATION)

    def score(self, encoded: bytes) -> Scored:
        """Scores of one picture."""
        try:
            return Scored(tuple(self._engine.run(self._preprocessor.prepare(encoded)).tolist()))
        except (InferenceFailed, RejectedInput) as error:
            return Scored(None, str(error))

    def score_file(self, path: Path) -> Scored:
        """Scores of the picture in a file."""
        found = read_picture(path)
        return found if isinstance(found, Scored) else self.score(found)


def read_picture(path: Path) -> bytes | Scored:
    """A picture as it is; or, where its file cannot be read, what is said in place of its scores."""
    try:
        return path.read_bytes()
    except OSError as error:
        return Scored(None, f"cannot be read: {error.strerror}")


#: Where the scores of pictures are computed: those of a bundle for files, in their order.
Scoring = Callable[[Bundle, Sequence[Path]], list[Scored]]


def score_all(bundle: Bundle, paths: Sequence[Path], workers: int) -> list[Scored]:
    """Scores of pictures, in their order.

    A process that is killed loses nothing: what was not done is given to others.

    Args:
        bundle: opened.
        paths: pictures.
        workers: processes; 1: this one.

    Raises:
        EdgeError: processes end again and again.
    """
    if workers <= 1:
        scorer = Scorer(bundle)
        return [scorer.score_file(path) for path in paths]
    chunks = [tuple(paths[start : start + CHUNK]) for start in range(0, len(paths), CHUNK)]
    found = spread(partial(_begin, bundle.path), chunks, workers)
    return [scored for chunk in found for scored in chunk]


def _begin(folder: Path) -> Callable[[tuple[Path, ...]], list[Scored]]:
    """Of a process: opening a bundle for each chunk would cost more than the chunk."""
    scorer = Scorer(open_bundle(folder))
    return lambda paths: [scorer.score_file(path) for path in paths]


ALONE: Scoring = partial(score_all, workers=1)

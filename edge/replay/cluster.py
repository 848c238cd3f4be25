"""Scores of recorded pictures on a Ray cluster, for the archives of many machines; the only module that imports Ray (the extra `ray`).

Pictures and bundle travel with the work, so the machines share no folder; they need plantflag and the same Ray. What a machine that dies had not done is
given to others.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.bundle import Bundle, open_bundle
from edge.errors import ConfigError, EdgeError
from edge.replay.crew import TRIES
from edge.replay.scores import CHUNK, Scored, Scorer, read_picture

ANSWER_S = 5.0
AHEAD = 4  # chunks that wait for each processor of the cluster, so that none is idle and memory stays bounded

Work = tuple[bytes | Scored, ...]  # encoded pictures; of one that cannot be read, its outcome already

_of_process: dict[
    str, Scorer
] = {}  # of a worker, by the manifest's hash: opening a bundle for each chunk would cost more than the chunk


def obstacle() -> str | None:
    """Why Ray cannot be used here; None: it can."""
    try:
        import ray  # noqa: F401, PLC0415 - an extra: only its presence matters here
    except ImportError:
        return "a cluster needs Ray: pip install 'plantflag[ray]'"
    return None


def score_on_cluster(bundle: Bundle, paths: Sequence[Path], address: str) -> list[Scored]:
    """Scores of pictures, in their order, equal to those of one process.

    Args:
        bundle: opened.
        paths: pictures, read here.
        address: of the cluster, ``HOST:PORT``.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers there.
        EdgeError: processes of the cluster end again and again.
    """
    if (why := obstacle()) is not None:
        raise ConfigError(why)
    _refuse_silent(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing leaves the building
    import ray  # noqa: PLC0415 - an extra
    import ray.exceptions  # noqa: PLC0415

    with contextlib.redirect_stdout(sys.stderr):  # where Ray reports what died; our own output may be data
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConfigError(f"no Ray cluster answers at {address}: {str(error)[:160]}") from error
        try:
            return _gathered(ray, bundle, paths)
        except ray.exceptions.RayError as error:
            raise EdgeError(f"the cluster failed at {address}: {type(error).__name__}: {str(error)[:300]}") from error
        finally:
            ray.shutdown()


def _refuse_silent(address: str) -> None:
    """Ray itself would wait for ever."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        raise ConfigError(f"--ray {address!a} is no HOST:PORT")
    try:
        with socket.create_connection((host, int(port)), ANSWER_S):
            pass
    except (OSError, OverflowError) as error:
        raise ConfigError(f"no Ray cluster answers at {address}: {error}") from error


def _gathered(ray: Any, bundle: Bundle, paths: Sequence[Path]) -> list[Scored]:  # noqa: ANN401 - Ray is not always installed, so its types are not known
    threads = bundle.manifest.execution.intra_op_threads
    work = ray.remote(score_there).options(num_cpus=threads, max_retries=TRIES)
    files = ray.put(_files_of(bundle.path))
    ahead = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
    waiting: dict[Any, int] = {}
    done: dict[int, list[Scored]] = {}
    for number, chunk in enumerate(_chunks(paths)):
        waiting[work.remote(bundle.sha256, files, chunk)] = number
        if len(waiting) >= ahead:
            _collect(ray, waiting, done)
    while waiting:
        _collect(ray, waiting, done)
    return [scored for number in range(len(done)) for scored in done[number]]


def _collect(ray: Any, waiting: dict[Any, int], done: dict[int, list[Scored]]) -> None:  # noqa: ANN401 - as above
    finished, _ = ray.wait(list(waiting), num_returns=1)
    for one in finished:
        done[waiting.pop(one)] = ray.get(one)


def score_there(sha256: str, files: Mapping[str, bytes], work: Work) -> list[Scored]:
    """Scores of one chunk, on a worker.

    Args:
        sha256: of the bundle's manifest.
        files: the bundle's, by their place in its folder.
        work: what to score.
    """
    if sha256 not in _of_process:
        _of_process.clear()
        with tempfile.TemporaryDirectory() as folder:  # all of it is in memory afterwards
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            _of_process[sha256] = Scorer(open_bundle(Path(folder)))
    scorer = _of_process[sha256]
    return [item if isinstance(item, Scored) else scorer.score(item) for item in work]


def _chunks(paths: Sequence[Path]) -> Iterator[Work]:
    for start in range(0, len(paths), CHUNK):
        yield tuple(read_picture(path) for path in paths[start : start + CHUNK])


def _files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

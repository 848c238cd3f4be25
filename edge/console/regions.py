"""What `check` says of a camera's regions: how many pixels each has, and whether all of them fit into the budget of a frame."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError, RejectedInput
from edge.frame import Quality
from edge.health.monitor import KEPT_KINDS
from edge.inference import picture_contract
from edge.inference.change import LEARNED
from edge.inference.coverage import Coverage
from edge.inference.decode_cost import dct_reduction, estimate
from edge.inference.picture_header import Header
from edge.inference.picture_scale import ENLARGED
from edge.inference.preprocess import Preprocessor
from edge.inference.schedule import frames_between, least_rate, oldest_ms, room
from edge.publish.backup import kept_of
from edge.region import Region
from edge.site.inputs import CameraSettings
from edge.site.regions import RegionSettings
from edge.site.settings import Site
from edge.units import NS_PER_MS

USUAL_SIZE = (1920, 1080)  # of pictures, px, where no daemon has learned what this camera sends
BITS_A_PIXEL = 2  # of a usual JPEG
TRIES = 3  # the fastest says how long cutting out takes
SHRUNK = 2.0  # more pixels of a tile for each of the graph's, and a small fault is lost again


def accepted_size(site: Site, camera: str) -> tuple[int, int] | None:
    """Width and height of the newest kind of picture that a daemon of this state folder accepted of a camera, px; None: it knows none."""
    if site.node.state_dir is None:
        return None
    name = KEPT_KINDS + camera
    try:
        kinds = picture_contract.from_dict(kept_of(site.node.state_dir, name).get(name, picture_contract.NOTHING))
    except (EdgeError, RejectedInput):  # no daemon ran yet, or its journal is for `backup` to complain of
        return None
    return (kinds[-1].width, kinds[-1].height) if kinds else None


def region_lines(
    camera: CameraSettings,
    stage: Preprocessor,
    size: tuple[int, int] | None,
    budget_ms: float,
    infer_ms: float,
) -> Iterator[str]:
    """Lines of `check` about one camera; none where it has no regions.

    Args:
        camera: whose.
        stage: its preprocess stage, with the regions that faults look at.
        size: width and height of its pictures in px; None: not known yet.
        budget_ms: of a frame.
        infer_ms: one run of the graph.
    """
    if not camera.regions:
        return
    width, height = size or USUAL_SIZE
    of = f"of its {width}x{height} px" if size else f"of a picture of {width}x{height} px"
    watched = {region.id for region in stage.regions}
    for settings in camera.regions:
        region = settings.region()
        unused = "" if region.id in watched else "; NOT USED: no fault looks at it, so it is not computed"
        yield f"region    {camera.id}/{region.id}: {_size_text(region, width, height, of, stage)}{unused}"
    cost = _cost(stage, (width, height), budget_ms, infer_ms)
    yield _time_line(camera, cost, (width, height))
    for settings in camera.regions:
        if settings.tiles is not None and settings.id in watched:
            yield _cover_line(camera, settings, cost)


@dataclass(frozen=True, slots=True)
class _Cost:
    """What the tiles of one camera's picture take, at worst: all of them changed."""

    tiles: int
    run_ms: float  # one of them
    fixed_ms: float  # decoding the picture, and comparing it
    budget_ms: float

    @property
    def fitting(self) -> int:
        return room(self.budget_ms, self.fixed_ms, self.run_ms, self.tiles)

    @property
    def every(self) -> int:
        return frames_between(self.tiles, self.fitting)


def _cover_line(camera: CameraSettings, settings: RegionSettings, cost: _Cost) -> str:
    """Whether no tile of a region becomes too old to count, though all of them change in every frame."""
    cover_ms = settings.oldest_ms() or camera.stale_after_ms
    text = f"cover     {camera.id}/{settings.id}: cover_ms {cover_ms:g}"
    rate = least_rate(cost.tiles, cost.fitting, cover_ms, cost.budget_ms)
    if rate is None:
        return f"{text}; CANNOT HOLD: the budget of one frame is {cost.budget_ms:g} ms already, so there is never an ok: raise cover_ms"
    text += f"; kept from {rate:.2g} frames a second on, if every tile changes in every frame"
    sent = None if camera.source is None else camera.source.fps
    if sent is None:
        return text
    oldest = oldest_ms(cost.tiles, cost.fitting, 1000.0 / sent, cost.budget_ms)
    text += f"; at {sent:g} the oldest verdict is {oldest:.0f} ms old"
    if oldest > cover_ms:
        text += "; MAY NOT HOLD: the region is unknown while so much changes: raise cover_ms, take fewer tiles, or export a smaller model"
    return text


def _size_text(region: Region, width: int, height: int, of: str, stage: Preprocessor) -> str:
    left, top, right, bottom = region.pixels(width, height)
    text = f"{right - left}x{bottom - top} px at ({left}, {top}) {of}"
    tile = region.tiles[0]
    across, down = (after - before for before, after in zip(*_corners(tile.pixels(width, height)), strict=True))
    if region.grid is not None:
        text += f", {region.grid.columns} x {region.grid.rows} tiles of {across}x{down} px"
        if len(region.tiles) < region.grid.count:
            text += f", {len(region.tiles)} of which show some of the polygon"
    if min(across / stage.spec.width, down / stage.spec.height) < ENLARGED:
        wide, high = math.ceil(stage.spec.width / tile.width), math.ceil(stage.spec.height / tile.height)
        text += (
            f"; ENLARGED to the graph's {stage.spec.width}x{stage.spec.height} px, so fine detail is missing: "
            f"send pictures of {wide}x{high} px or more, or make {'it' if region.grid is None else 'tiles'} larger"
        )
    elif region.grid is not None and max(across / stage.spec.width, down / stage.spec.height) > SHRUNK:
        text += f"; SHRUNK to the graph's {stage.spec.width}x{stage.spec.height} px: more tiles show more detail"
    return text


def _corners(box: tuple[int, int, int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    return box[:2], box[2:]


def _cost(stage: Preprocessor, size: tuple[int, int], budget_ms: float, infer_ms: float) -> _Cost:
    width, height = size
    header = Header("jpeg", width, height, 3, data_bytes=width * height * BITS_A_PIXEL // 8)
    reduction = dct_reduction(header, *stage.least)
    decode_ms = estimate(header, reduction).ns * stage.limits.slowness / 1e6
    blank: NDArray[np.uint8] = np.zeros((-(-height // reduction), -(-width // reduction), 3), np.uint8)
    tiles = [tile for region in stage.regions for tile in region.tiles]
    cut_ms = min(_took_ms(lambda: [stage.fit(blank, tile) for tile in tiles]) for _ in range(TRIES))
    return _Cost(len(tiles), infer_ms + cut_ms / len(tiles), decode_ms + _compare_ms(stage, blank), budget_ms)


def _compare_ms(stage: Preprocessor, blank: NDArray[np.uint8]) -> float:
    """How long it takes to compare a picture's tiles with what they were, ms."""
    coverage = Coverage(stage.regions)
    if not coverage.compares:
        return 0.0
    for number in range(LEARNED + 1):
        for key in coverage.frame(number, Quality.GOOD, stage.blocks(blank)):
            coverage.begin(key)
            coverage.done(key, [], 0)
    return min(_took_ms(lambda: coverage.frame(LEARNED, Quality.GOOD, stage.blocks(blank))) for _ in range(TRIES))


def _time_line(camera: CameraSettings, cost: _Cost, size: tuple[int, int]) -> str:
    width, height = size
    tiled = any(one.tiles is not None for one in camera.regions)
    text = (
        f"regions   {camera.id}: {cost.tiles} to compute{' if every tile changed' if tiled else ''}, {cost.run_ms:.1f} ms each, "
        f"and {cost.fixed_ms:.1f} ms to decode a JPEG of {width}x{height} px: "
        f"{cost.fixed_ms + cost.tiles * cost.run_ms:.1f} ms of {cost.budget_ms:g} ms"
    )
    if cost.fixed_ms + cost.fitting * cost.run_ms > cost.budget_ms:
        return f"{text}; TOO MUCH: not even one fits, so flags come late; send smaller pictures or raise budget_ms"
    if cost.fitting == cost.tiles:
        return f"{text}; each is computed in every frame"
    text += f"; MORE THAN THE BUDGET: {cost.fitting} fit, so each is computed in every {cost.every}. frame"
    if all(one.tiles is not None for one in camera.regions):
        return f"{text} at worst"
    stale_ms = min([camera.stale_after_ms, *(ms for one in camera.regions if (ms := one.oldest_ms()))])
    return (
        f"{text}; below {1000 * cost.every / stale_ms:.2g} frames "
        "a second their flags become unknown between (stale_after_ms). Watch fewer, raise budget_ms, or export a smaller model"
    )


def _took_ms(action: Callable[[], object]) -> float:
    began_ns = time.monotonic_ns()
    action()
    return (time.monotonic_ns() - began_ns) / NS_PER_MS

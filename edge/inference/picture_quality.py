"""Judges whether a camera's picture can be trusted (frozen, dark, dazzled, blurred or covered), from the model's own input tensor.

Pure: time is an argument. Dark and dazzled are absolute; blurred and covered are measured against what this camera's own good frames looked
like, never against absolute numbers, because a painted sheet holds less detail than a wire mesh. Figures: docs/picture-quality.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import RejectedInput
from edge.frame import Evidence, Quality, Trouble, Verdict, worst
from edge.inference.picture_contract import Contract, Kind
from edge.inference.picture_damage import Torn, as_before, jump_row, repeated_rows
from edge.site.inputs import PictureSettings
from edge.units import NS_PER_MS

LEAST_EQUAL = 3  # two equal frames of a slow camera are no freeze
ROWS = 4  # every so many rows are looked at, which is enough and takes a quarter of the time
REPEATED_SHARE = 0.1  # of the rows; real pictures: docs/picture-quality.md
MIN_SIDE_PX = 72  # below it a grid cell holds no looked-at row, and only a freeze can be seen
GRID = 16  # cells a side in which detail is measured
LAG = 4  # px between the samples of the coarse second difference: twice the blur of a lens that hides small faults at 224 px
MIN_DETAIL = 1.0  # grey levels: a cell with less shows noise and JPEG blocks, so its loss cannot be noticed
LOST_SHARE = 0.4  # a cell with less of its own usual least detail has lost its view
USUAL_LEAST = 0.05  # quantile of a cell's detail over the remembered frames
# grey levels outside its usual range, the light of the whole picture allowed for: something else is there
STRANGE_LEVEL = 30.0
SATURATED = 240.0  # grey level from which more light shows no more
REMEMBERED = 60  # frames that make the baseline
LEARN_EVERY_NS = 100 * NS_PER_MS  # at most one remembered frame in so long while learning: 6 s of a fast camera
RENEW_EVERY_NS = 60_000 * NS_PER_MS  # and afterwards, so that the baseline is an hour deep


QUALITY = {Trouble.FROZEN: Quality.STALE}  # an old picture; all others are bad ones
_OPTICAL = tuple(trouble for trouble in Trouble if trouble is not Trouble.FROZEN)
LEARNED = (Trouble.BLURRED, Trouble.COVERED)  # seen only against the baseline
FORMAT = 1  # of a baseline on disk


@dataclass(frozen=True, slots=True)
class Measures:
    """What one picture shows.

    Attributes:
        darkest: grey level below which 10 % of the picture are, 0..255.
        brightest: grey level below which 99 % of it are, 0..255.
        sharpness: fine detail over coarse detail, a ratio of energies that blur lowers and neither contrast nor light changes.
        detail: float32 [GRID, GRID], coarse detail of each cell, grey levels (root mean square).
        level: float32 [GRID, GRID], mean grey level of each cell.
    """

    darkest: float
    brightest: float
    sharpness: float
    detail: NDArray[np.float32]
    level: NDArray[np.float32]


def measure(tensor: NDArray[np.uint8]) -> Measures:
    """Measure a tensor uint8 [1, height, width, 3], both at least `MIN_SIDE_PX`; only green is looked at."""
    green = tensor[0, :, :, 1]
    counts = np.cumsum(np.bincount(green[::ROWS, ::ROWS].ravel(), minlength=256))
    darkest, brightest = np.searchsorted(counts, (0.10 * counts[-1], 0.99 * counts[-1]))
    grey = green.astype(np.float32)
    coarse = _curvature(grey, LAG)
    fine = _curvature(grey, 1)
    detail = np.sqrt(_by_cell(coarse) / 12.0)  # 12: what noise of one grey level puts into two second differences
    level = _by_cell(grey[::ROWS])
    sharpness = float(fine.mean()) / (float(coarse.mean()) + 1.0)  # + 1: nothing is divided by a blank wall
    return Measures(float(darkest), float(brightest), sharpness, detail, level)


def _curvature(grey: NDArray[np.float32], lag: int) -> NDArray[np.float32]:
    """Energy of the second differences over ``lag`` px, both directions, on some rows: a slope of light or shade has none."""
    here, above, below = grey[lag:-lag:ROWS], grey[: -2 * lag : ROWS, lag:-lag], grey[2 * lag :: ROWS, lag:-lag]
    twice = 2.0 * here[:, lag:-lag]
    across = here[:, 2 * lag :] + here[:, : -2 * lag] - twice
    down = above + below - twice
    across *= across
    down *= down
    across += down
    return across


def _by_cell(energy: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = energy.shape[0] // GRID, energy.shape[1] // GRID
    cells = energy[: rows * GRID, : columns * GRID].reshape(GRID, rows, GRID, columns)
    mean: NDArray[np.float32] = cells.sum(axis=1).sum(axis=2) / (rows * columns)
    return mean


@dataclass(frozen=True, slots=True)
class Baseline:
    """What this camera's good frames look like: the middle of their sharpness, and what was usual in each cell.

    Attributes:
        sharpness: as in `Measures`.
        detail: float32 [GRID, GRID], the least usual detail.
        darkest, brightest: float32 [GRID, GRID], the range of the mean level, grey levels.
    """

    sharpness: float
    detail: NDArray[np.float32]
    darkest: NDArray[np.float32]
    brightest: NDArray[np.float32]


def to_dict(usual: Baseline, of: str, wall_ns: int) -> dict[str, Any]:
    """A baseline as plain data for JSON; `of` names the pictures it was measured on, `wall_ns` when it was kept."""
    cells = {"detail": usual.detail, "darkest": usual.darkest, "brightest": usual.brightest}
    grids = {name: [round(value, 3) for value in grid.ravel().tolist()] for name, grid in cells.items()}
    return {"format": FORMAT, "of": of, "saved_wall_ns": wall_ns, "sharpness": usual.sharpness, **grids}


def from_dict(data: Mapping[str, Any], of: str) -> tuple[Baseline, int] | None:
    """The baseline that `to_dict` wrote, and when; None when it is another format's, or was measured on other pictures.

    Raises:
        RejectedInput: reason ``baseline``: a field is missing or cannot be.
    """
    try:
        if data["format"] != FORMAT or data["of"] != of:
            return None
        grids = [np.array(data[name], np.float32).reshape(GRID, GRID) for name in ("detail", "darkest", "brightest")]
        sharpness, wall_ns = float(data["sharpness"]), int(data["saved_wall_ns"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RejectedInput("baseline", f"a kept baseline is not usable: {error!r}") from error
    if not (np.isfinite(sharpness) and all(np.isfinite(grid).all() for grid in grids)):
        raise RejectedInput("baseline", "a kept baseline is not finite")
    return Baseline(sharpness, *grids), wall_ns


def judge(seen: Measures, usual: Baseline | None, settings: PictureSettings) -> Trouble | None:
    """The first trouble that one picture shows; without a baseline neither blur nor cover can be seen."""
    if seen.brightest < settings.darkest:
        return Trouble.DARK
    if seen.darkest > settings.brightest:
        return Trouble.DAZZLED
    if usual is None:
        return None
    blurred = seen.sharpness < settings.sharpness_share * usual.sharpness
    if settings.covered_share > 0.0 and covered(seen, usual, blurred=blurred) >= settings.covered_share:
        return Trouble.COVERED
    return Trouble.BLURRED if blurred else None


def covered(seen: Measures, usual: Baseline, *, blurred: bool = False) -> float:
    """Share of the picture, 0..1, that the largest connected patch of cells takes that lost their usual detail or show a level never seen there.

    More or less light on everything is no cover: levels are compared after the change that most cells share is taken out. Blur takes detail
    and leaves levels, so in a blurred picture only levels count.
    """
    middle = np.maximum((usual.darkest + usual.brightest) / 2.0, 1.0)
    level = seen.level / max(float(np.median(seen.level / middle)), 0.05)
    strange = (level < usual.darkest - STRANGE_LEVEL) | (level > usual.brightest + STRANGE_LEVEL)
    patch = strange & (seen.level < SATURATED)
    if not blurred:
        patch |= (usual.detail >= MIN_DETAIL) & (seen.detail < LOST_SHARE * usual.detail)
    return _largest_patch(patch) / patch.size if patch.any() else 0.0


def _largest_patch(mask: NDArray[np.bool_]) -> int:
    """Cells in the largest patch connected over edges."""
    width = mask.shape[1] + 1  # a column of nothing between the rows: neighbours never wrap around
    waiting = {row * width + column for row, column in zip(*np.nonzero(mask), strict=True)}
    largest = 0
    while waiting:
        border, size = [waiting.pop()], 0
        while border:
            at = border.pop()
            size += 1
            near = {at - 1, at + 1, at - width, at + width} & waiting
            waiting -= near
            border.extend(near)
        largest = max(largest, size)
    return largest


class Learning:
    """The good frames that a camera's baseline is made of: quickly filled, then slowly renewed; until then an earlier one holds, if there is one."""

    def __init__(self, earlier: Baseline | None = None) -> None:
        self._sharpness: deque[float] = deque(maxlen=REMEMBERED)
        self._detail: deque[NDArray[np.float32]] = deque(maxlen=REMEMBERED)
        self._level: deque[NDArray[np.float32]] = deque(maxlen=REMEMBERED)
        self._next_ns: int | None = None
        self._earlier = earlier
        self.learned: Baseline | None = None

    @property
    def baseline(self) -> Baseline | None:
        """What to measure against."""
        return self.learned or self._earlier

    def learn(self, seen: Measures, received_ns: int) -> None:
        """Remember a good frame, if one is due."""
        if self._next_ns is not None and received_ns < self._next_ns:
            return
        self._sharpness.append(seen.sharpness)
        self._detail.append(seen.detail)
        self._level.append(seen.level)
        full = len(self._detail) == REMEMBERED
        self._next_ns = received_ns + (RENEW_EVERY_NS if full else LEARN_EVERY_NS)
        if full:
            least = np.sort(np.stack(self._detail), axis=0)[round(USUAL_LEAST * (REMEMBERED - 1))]
            levels = np.stack(self._level)
            self.learned = Baseline(float(np.median(self._sharpness)), least, levels.min(axis=0), levels.max(axis=0))


class PictureMonitor:
    """One camera's pictures over time.

    A trouble is active while n of the last m frames show it, so that one odd frame changes nothing; a freeze is active from `frozen_after_ms` of
    exactly equal pictures until the first other one. Frames with a trouble, and repeated ones, teach the baseline nothing.

    Before m frames were seen no trouble is known to be absent, and each frame that shows one is not trusted; a freeze is known to be absent once two
    frames differ. A trouble that was active before this monitor began stays active, and nothing is learned, until it is seen again or known to be gone.

    Args:
        settings: what counts as trouble.
        stale_after_ns: without frames for so long nothing is known.
        usual: what good frames looked like before, if that is known.
        active: what was active before.
        kinds: the kinds of picture that were accepted before.
    """

    def __init__(
        self,
        settings: PictureSettings,
        stale_after_ns: int,
        usual: Baseline | None = None,
        active: AbstractSet[Trouble] = frozenset(),
        kinds: Sequence[Kind] = (),
    ) -> None:
        self._settings = settings
        self._stale_after_ns = stale_after_ns
        self._frozen_after_ns = round(settings.frozen_after_ms * NS_PER_MS)
        self._learning = Learning(usual)
        self._shown: deque[Trouble | None] = deque(maxlen=settings.n_of_m[1])
        self._last: NDArray[np.uint8] | None = None
        self._seen_ns = 0
        self._equal_since_ns = 0
        self._equal = 0
        self._moved = False
        self._active: frozenset[Trouble] = frozenset()
        self._believed = frozenset(active) & _looked_for(settings)
        self._torn = Torn()
        self._sound: NDArray[np.uint8] | None = None  # the newest frame that showed no damage
        self.contract = Contract(round(settings.accept_after_s * 1e9), kinds)

    @property
    def baseline(self) -> Baseline | None:
        """What this camera's frames are measured against; None: nothing yet."""
        return self._learning.baseline

    @property
    def learned(self) -> Baseline | None:
        """The same, if this monitor learned it by itself."""
        return self._learning.learned

    def relearn(self) -> None:
        """The view or the focus was changed on purpose: what is seen from now on is learned as good."""
        self._learning = Learning()
        self.contract.relearn()
        self._shown.clear()
        self._believed -= frozenset(LEARNED)

    def assess(
        self, tensor: NDArray[np.uint8], received_ns: int, size: tuple[int, int] | None = None, head: int | None = None
    ) -> Quality:
        """Take a frame's tensor, uint8 [1, height, width, 3], which is kept and must not change; returns how far its verdicts may be trusted.

        `size` is the width and height of the picture itself, px, and `head` a digest of the tables that it is decoded by.

        Raises:
            RejectedInput: ``damaged``: the picture shows what decoders paint over damage; it teaches nothing.
        """
        torn = self._refuse_damage(tensor, head)
        kind = Quality.GOOD if size is None else self.contract.look(*size, tensor, received_ns)
        return worst(kind, self._assess(tensor, received_ns), Quality.BAD if torn else Quality.GOOD)

    def _refuse_damage(self, tensor: NDArray[np.uint8], head: int | None) -> bool:
        """Refuse what a decoder's concealment left, and return whether the rest of the picture is suddenly another; what the next frame shows again is no damage."""
        if not self._settings.damage or min(tensor.shape[1:3]) < MIN_SIDE_PX:
            return False
        before, run = self._sound, repeated_rows(tensor)
        comparable = before is not None and before.shape == tensor.shape
        share = (run.stop - run.start) / tensor.shape[1]
        if share >= REPEATED_SHARE and not (before is not None and comparable and as_before(tensor, before, run)):
            raise RejectedInput(
                "damaged", f"one row fills {share:.0%} of the picture: a decoder hid what it could not read"
            )
        self._sound = tensor
        row = jump_row(tensor, before) if before is not None and comparable else None
        if row is not None:
            raise RejectedInput(
                "damaged", f"from row {row} of {tensor.shape[1]} on the level jumps: the data before it is damaged"
            )
        return before is not None and comparable and self._torn.look(tensor, before, head)

    def _assess(self, tensor: NDArray[np.uint8], received_ns: int) -> Quality:
        same = self._last is not None and np.array_equal(self._last, tensor)
        if same:
            self._equal += 1
        else:
            self._moved = self._moved or self._last is not None
            self._equal, self._equal_since_ns = 1, received_ns
        shown = self._shown[-1] if same and self._shown else self._trouble(tensor, received_ns)
        self._shown.append(shown)
        self._last, self._seen_ns = tensor, received_ns
        n = self._settings.n_of_m[0]
        active: set[Trouble] = {trouble for trouble in _OPTICAL if self._shown.count(trouble) >= n}
        if self._frozen(received_ns):
            active.add(Trouble.FROZEN)
        self._active = frozenset(active)
        self._believed = frozenset(
            trouble for trouble in self._believed - self._active if not self._would_show(trouble)
        )
        doubted = self._active | self._believed | ({shown} if shown and not self._warm else set())
        return worst(*(QUALITY.get(trouble, Quality.BAD) for trouble in doubted))

    def evidence(self, trouble: Trouble, now_ns: int) -> Evidence:
        """Whether a trouble is active; unknown without frames or before enough of them, without a baseline, and where another trouble hides it."""
        if self._last is None or now_ns - self._seen_ns > self._stale_after_ns:
            return Evidence(Verdict.UNKNOWN, None, Quality.STALE)
        if trouble in self._active:
            return Evidence(Verdict.FAULT, 1.0, Quality.GOOD)
        if trouble in self._believed or (trouble is not Trouble.FROZEN and self._active):
            return Evidence(Verdict.UNKNOWN, None, Quality.BAD)
        if not self._would_show(trouble):
            return Evidence(Verdict.UNKNOWN, None, Quality.UNCERTAIN)
        return Evidence(Verdict.OK, 0.0, Quality.GOOD)

    @property
    def _warm(self) -> bool:
        """Whether as many frames were seen as n of m asks for."""
        return len(self._shown) == self._settings.n_of_m[1]

    def _would_show(self, trouble: Trouble) -> bool:
        """Whether a trouble would be standing now if it were there."""
        if trouble is Trouble.FROZEN:
            return self._moved or self._frozen_after_ns == 0
        return self._warm and not self._active and (trouble not in LEARNED or self.baseline is not None)

    def _trouble(self, tensor: NDArray[np.uint8], received_ns: int) -> Trouble | None:
        if min(tensor.shape[1:3]) < MIN_SIDE_PX:
            return None
        seen = measure(tensor)
        trouble = judge(seen, self._learning.baseline, self._settings)
        if trouble is None and not self._believed:
            self._learning.learn(seen, received_ns)
        return trouble

    def _frozen(self, received_ns: int) -> bool:
        return (
            self._frozen_after_ns > 0
            and self._equal >= LEAST_EQUAL
            and received_ns - self._equal_since_ns >= self._frozen_after_ns
        )


def _looked_for(settings: PictureSettings) -> frozenset[Trouble]:
    """The troubles whose check is on."""
    on = {
        Trouble.FROZEN: settings.frozen_after_ms > 0.0,
        Trouble.DARK: settings.darkest > 0.0,
        Trouble.DAZZLED: settings.brightest < 255.0,
        Trouble.BLURRED: settings.sharpness_share > 0.0,
        Trouble.COVERED: settings.covered_share > 0.0,
    }
    return frozenset(trouble for trouble, wanted in on.items() if wanted)

"""Windows of readings beside the path: readings fill them, and one that is due is judged by its graph in time left over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edge.beside import Beside
from edge.errors import InferenceFailed, NothingKnown
from edge.frame import Quality, Reading
from edge.grid import Grid
from edge.inference.onnx_session import Brake, Stopped
from edge.inference.window_engine import WindowEngine
from edge.verdict.channel import Channel

LATE = "window_late"  # a reading came when its cell had left the window
FAILED = "window_inference_failed"


class Windows(Beside):
    """Fills the windows of a site and has them judged, one in each step.

    Args:
        grids: the windows by name.
        engines: the graph of each window.
        channels: every flag channel.
        brake: stops a run between two operators when a frame waits.
        judged: receives the channels that a judgement changed.
        rejected: counts what could not be used: the reason, and the sensor where it is one's.
        monotonic_ns: the clock.
    """

    name = "windows"

    def __init__(
        self,
        grids: Mapping[str, Grid],
        engines: Mapping[str, WindowEngine],
        channels: Sequence[Channel],
        *,
        brake: Brake,
        judged: Callable[[Sequence[Channel]], None],
        rejected: Callable[[str, str | None], None],
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._grids = grids
        self._engines = engines
        self._channels_of = {name: [one for one in channels if one.spec.window == name] for name in grids}
        self._grids_of: dict[str, list[Grid]] = {}
        for grid in grids.values():
            for sensor in grid.spec.sensors:
                self._grids_of.setdefault(sensor.sensor, []).append(grid)
        self._brake = brake
        self._judged = judged
        self._rejected = rejected
        self._now = monotonic_ns

    def take(self, reading: Reading) -> None:
        """Put a reading into its cell of each window of its sensor."""
        for grid in self._grids_of.get(reading.sensor, ()):
            if not grid.put(reading):
                self._rejected(LATE, reading.sensor)

    def ready(self, now_ns: int) -> bool:
        """Whether a window is due."""
        del now_ns
        return any(grid.due() is not None for grid in self._grids.values())

    def step(self) -> None:
        """Judge the window that is due; one that a frame preempts stays due."""
        for name, grid in self._grids.items():
            end = grid.due()
            if end is not None:
                if self._judge(name, grid, end):
                    grid.judged = end
                    self._judged(self._channels_of[name])
                return

    def _judge(self, name: str, grid: Grid, end: int) -> bool:
        """Show the window to its channels; false: a frame came first."""
        now_ns = self._now()
        seen = grid.snapshot(end, now_ns)
        channels = self._channels_of[name]
        if seen.quality.rank >= Quality.STALE.rank:
            for channel in channels:
                channel.see(0.0, now_ns, late=False, picture=seen.quality)
            return True
        try:
            scores = self._engines[name].run(seen.values, seen.valid, self._brake).tolist()
        except Stopped:
            return False
        except NothingKnown:
            for channel in channels:
                channel.see(0.0, now_ns, late=False, picture=Quality.STALE)
            return True
        except InferenceFailed:
            self._rejected(FAILED, None)
            for channel in channels:
                channel.miss(now_ns)
            return True
        for channel in channels:
            if channel.spec.vision is not None:
                channel.see(scores[channel.spec.vision], now_ns, late=seen.quality is not Quality.GOOD)
        return True

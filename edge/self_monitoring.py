"""The device looks after itself: silent or spoiled cameras and sensors, its storage, its clock, a twin, a broker that refuses; each is an alarm of the system.

On the inference thread only; time is an argument. What an alarm of the system says to people is in `standing`, how it moves in `alarm`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from edge.annunciator import Annunciator
from edge.channel import Channel
from edge.clock import Clock
from edge.frame import Quality, Verdict
from edge.health import Health
from edge.journal import Journal
from edge.lens import LEARNED, Baseline, Lens, Trouble, to_dict
from edge.publish import Publisher
from edge.settings import Site
from edge.standing import NODE, Concern, adrift, alarm_id, denied, doubled, lateness, silence, unsafe

NS_PER_MS = 1_000_000
KEPT_VIEW = "view/"  # name under which a camera's baseline survives a restart
KEEP_VIEW_NS = 600_000_000_000  # it is renewed each minute; a disk need not be
ASK_AGAIN_NS = 60_000_000_000  # what the broker refused is said again so often: its access rules may have been mended


class SelfMonitor:
    """Samples the alarms of the system.

    Args:
        site: cameras, sensors and what this site asks of the device.
        clock: tells when the watch began, and whether the kernel calls the clock synchronised.
        channels: flags whose trust the clock decides.
        annunciator: where alarms are sampled.
        publisher: records what must survive a restart.
        journal: its storage, and what it has to say again.
        health: ages of frames and readings.
        lenses: of each camera, whether its pictures can be trusted.
        tensor: what kind of pictures the lenses measure; a baseline of another kind says nothing.
        taken_over: when somebody else last took one of our connections, monotonic ns; None: never.
        refused: what the broker refuses of us now; None: not known yet.
    """

    def __init__(
        self,
        *,
        site: Site,
        clock: Clock,
        channels: Sequence[Channel],
        annunciator: Annunciator,
        publisher: Publisher,
        journal: Journal,
        health: Health,
        lenses: Mapping[str, Lens],
        tensor: str,
        taken_over: Callable[[], int | None],
        refused: Callable[[], Sequence[str] | None],
    ) -> None:
        self._site = site
        self._clock = clock
        self._channels = channels
        self._annunciator = annunciator
        self._publisher = publisher
        self._journal = journal
        self._health = health
        self._lenses = lenses
        self._tensor = tensor
        self._taken_over = taken_over
        self._refused = refused
        self._started_ns = clock.monotonic_ns()
        self._views: dict[str, tuple[Baseline, int]] = {}  # what was last kept of each camera, and when
        self._ask_again_ns: int | None = None

    def watch(self, now_ns: int, now_wall_ns: int) -> bool:
        """Look at everything once; returns whether all is to be said anew, because the broker refused some of it a while ago."""
        self._watch_cameras(now_ns, now_wall_ns)
        self._watch_sensors(now_ns, now_wall_ns)
        self._watch_device(now_ns, now_wall_ns)
        return self._watch_refusals(now_ns, now_wall_ns)

    def learn_anew(self, name: str, now_ns: int) -> None:
        """An operator put a camera's alarm about its view back into service: what it sees now is what it shall see."""
        for camera_id, lens in self._lenses.items():
            if name in {alarm_id(camera_id, trouble) for trouble in LEARNED}:
                lens.forget()
                self._views.pop(camera_id, None)
                self._publisher.record(now_ns, (), (), {KEPT_VIEW + camera_id: None})

    def _watch_cameras(self, now_ns: int, now_wall_ns: int) -> None:
        uptime_ns = now_ns - self._started_ns
        for camera in self._site.cameras:
            stale_ns = round(camera.stale_after_ms * NS_PER_MS)
            ages = self._health.ages_ns(camera.id, now_ns)
            conditions = {
                Concern.SILENT: silence(ages.judged, uptime_ns, stale_ns),
                Concern.LATE: lateness(ages.arrived, ages.in_budget, uptime_ns, stale_ns),
            }
            for concern, evidence in conditions.items():
                self._annunciator.sample(alarm_id(camera.id, concern), evidence, now_ns, now_wall_ns)
        for camera_id, lens in self._lenses.items():
            for trouble in Trouble:
                evidence = lens.evidence(trouble, now_ns)
                self._annunciator.sample(alarm_id(camera_id, trouble), evidence, now_ns, now_wall_ns)
            self._keep_view(camera_id, lens.learned, now_ns, now_wall_ns)

    def _watch_sensors(self, now_ns: int, now_wall_ns: int) -> None:
        uptime_ns = now_ns - self._started_ns
        for sensor in self._site.sensors:
            age_ns = self._health.sensor_age_ns(sensor.id, now_ns)
            evidence = silence(age_ns, uptime_ns, round(sensor.stale_after_ms * NS_PER_MS))
            self._annunciator.sample(alarm_id(sensor.id, Concern.SILENT), evidence, now_ns, now_wall_ns)

    def _watch_device(self, now_ns: int, now_wall_ns: int) -> None:
        if self._site.node.state_dir is not None:
            stats = self._journal.stats()
            evidence = unsafe(stats.storage, stats.set_aside)
            self._annunciator.sample(alarm_id(NODE, Concern.STORAGE), evidence, now_ns, now_wall_ns)
        taken_over_ns = self._taken_over()
        evidence = doubled(None if taken_over_ns is None else now_ns - taken_over_ns)
        self._annunciator.sample(alarm_id(NODE, Concern.TWIN), evidence, now_ns, now_wall_ns)
        if self._site.node.require_synchronised_clock:
            evidence = adrift(self._clock.synchronised())
            self._annunciator.sample(alarm_id(NODE, Concern.CLOCK), evidence, now_ns, now_wall_ns)
            for channel in self._channels:
                channel.trust = Quality.UNCERTAIN if evidence.verdict is Verdict.FAULT else Quality.GOOD

    def _watch_refusals(self, now_ns: int, now_wall_ns: int) -> bool:
        """Raise what the broker refuses; returns whether to ask it again now, by saying everything anew."""
        refused = self._refused()
        self._annunciator.sample(alarm_id(NODE, Concern.REFUSED), denied(refused), now_ns, now_wall_ns)
        if refused is None:
            return False
        if not refused:
            if self._ask_again_ns is not None:
                self._journal.ask_again()  # for what was refused just before the first was taken
            self._ask_again_ns = None
            return False
        due = self._ask_again_ns is not None and now_ns >= self._ask_again_ns
        if due:
            self._journal.ask_again()
        if due or self._ask_again_ns is None:
            self._ask_again_ns = now_ns + ASK_AGAIN_NS
        return due

    def _keep_view(self, camera_id: str, usual: Baseline | None, now_ns: int, now_wall_ns: int) -> None:
        """Keep what a camera's good pictures look like over a restart, which may come while its lens is covered."""
        kept, at_ns = self._views.get(camera_id, (None, 0))
        if usual is not None and usual is not kept and (kept is None or now_ns - at_ns >= KEEP_VIEW_NS):
            self._views[camera_id] = usual, now_ns
            build = partial(to_dict, usual, self._tensor, now_wall_ns)
            self._publisher.record(now_ns, (), (), {KEPT_VIEW + camera_id: build})

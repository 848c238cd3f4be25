"""Monitors the device itself: cameras, sensors, storage, clock, duplicate client, rejections, internal errors; each raises a system alarm.

On the inference thread only; time is an argument. The texts of system alarms are in `alarm.catalogue`, their states in `alarm.machine`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from edge.alarm.annunciator import Annunciator
from edge.alarm.catalogue import NODE, Concern, alarm_id
from edge.frame import Evidence, Quality, Trouble
from edge.health.common_cause import CommonCauses
from edge.health.conditions import (
    adrift,
    broken,
    denied,
    duplicate_client,
    lateness,
    overloaded,
    silence,
    silent,
    stuck,
    unsafe,
)
from edge.health.ledger import Health
from edge.inference.picture_contract import Contract
from edge.inference.picture_quality import LEARNED, Baseline, PictureMonitor, to_dict
from edge.publish.entry import PlainState
from edge.publish.journal import Journal
from edge.publish.publisher import Publisher
from edge.site.gateways import frozen_gateways, site_gateways
from edge.site.inputs import CameraSettings, SensorSettings
from edge.site.settings import Site
from edge.system.clock import Clock
from edge.system.internal_errors import InternalErrors
from edge.units import FOREVER_NS, NS_PER_MS, NS_PER_S
from edge.verdict.channel import Channel
from edge.wire.camera import TROUBLE_TEXTS

KEPT_KINDS = "kinds/"  # name under which the kinds of picture that were accepted survive one
KEPT_VIEW = "view/"  # name under which a camera's baseline survives a restart
KEEP_VIEW_NS = 600 * NS_PER_S  # it is renewed each minute; a disk need not be
REPUBLISH_NS = 60 * NS_PER_S  # what the broker refused is resent so often: its access rules may have been corrected


class ViewRecord(NamedTuple):
    """What a camera's good pictures look like, on what kind of pictures it was measured, and when it was kept."""

    usual: Baseline
    tensor: str
    wall_ns: int

    def to_dict(self) -> dict[str, Any]:
        """The view as it is kept; see `edge.inference.picture_quality`."""
        return to_dict(self.usual, self.tensor, self.wall_ns)


class _Calm:
    """Sources of which nothing is wrong, and whose alarm has settled at that: until something is, they need not be sampled.

    Args:
        annunciator: where the alarms are sampled.
        concern: which alarm of each source.
        sources: ids.
    """

    def __init__(self, annunciator: Annunciator, concern: Concern, sources: Iterable[str]) -> None:
        self._annunciator = annunciator
        self._concern = concern
        self._sources = tuple(sources)
        self._calm: set[str] = set()
        self._round = annunciator.round

    def others(self, *wrong: Collection[str]) -> list[str]:
        """The sources to sample; of those that are `wrong`, something is now."""
        if self._round != self._annunciator.round:
            self._round = self._annunciator.round
            self._calm.clear()
        self._calm.difference_update(*wrong)
        return [source for source in self._sources if source not in self._calm]

    def sampled(self, source: str, evidence: Evidence) -> None:
        """It was sampled with this evidence, which is what it would be sampled with until something is wrong with it."""
        if self._annunciator.is_settled(alarm_id(source, self._concern), evidence):
            self._calm.add(source)


class SelfMonitor:
    """Samples the alarms of the system.

    Args:
        site: cameras, sensors and what this site asks of the device.
        clock: gives the time at which the sample began, and whether the kernel calls the clock synchronised.
        channels: flags whose trust the clock decides.
        annunciator: where alarms are sampled.
        publisher: records what must survive a restart.
        journal: its storage, and what it has to resend.
        health: ages of frames and readings.
        picture_monitors: of each camera, whether its pictures can be trusted.
        tensor: what kind of pictures the picture_monitors measure; a baseline of another kind does not apply.
        taken_over: when another client last took over one of our connections, monotonic ns; None: never.
        refused: what the broker rejects of us now; None: not known yet.
        errors: exceptions that are faults of this program.
        too_slow: whether this machine did not keep the budget when it was measured last; None: there is none to keep.
        doubtful: whether it is not known what the plant makes, so that no verdict can be trusted.
        clocks_differ_ns: when a command last showed that its clock or this device's is wrong, monotonic ns; None: not.
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
        picture_monitors: Mapping[str, PictureMonitor],
        tensor: str,
        taken_over: Callable[[], int | None],
        refused: Callable[[], Sequence[str] | None],
        errors: InternalErrors,
        too_slow: Callable[[], bool] | None = None,
        clocks_differ_ns: Callable[[], int | None] = lambda: None,
        doubtful: Callable[[], bool] = lambda: False,
    ) -> None:
        self._site = site
        self._clock = clock
        self._channels = channels
        self._annunciator = annunciator
        self._publisher = publisher
        self._journal = journal
        self._health = health
        self._picture_monitors = picture_monitors
        self._tensor = tensor
        self._taken_over = taken_over
        self._refused = refused
        self._errors = errors
        self._too_slow = too_slow
        self._clocks_differ_ns = clocks_differ_ns
        self._doubtful = doubtful
        self._synchronised = True  # or it is not required
        self._announce = False
        self._started_ns = clock.monotonic_ns()
        self._views: dict[str, tuple[Baseline, int]] = {}  # what was last kept of each camera, and when
        self._republish_ns: int | None = None
        self._hidden: set[str] = set()  # alarms that were suppressed while their gateway is silent
        sources: list[CameraSettings | SensorSettings] = [*site.cameras, *site.sensors]
        stale_ns = {source.id: round(source.stale_after_ms * NS_PER_MS) for source in sources}
        self._stale_ns = stale_ns
        self._causes = CommonCauses(site_gateways(site), stale_ns, self._started_ns)
        frozen_ns = {
            item.id: round(item.frozen_after_ms * NS_PER_MS) for item in site.sensors if item.frozen_after_ms > 0
        }
        self._frozen_ns = frozen_ns
        self._frozen_causes = CommonCauses(frozen_gateways(site), frozen_ns, self._started_ns)
        self._speaking = _Calm(annunciator, Concern.SILENT, stale_ns)
        self._changing = _Calm(annunciator, Concern.FROZEN, frozen_ns)

    def sample(self, now_ns: int, now_wall_ns: int) -> bool:
        """Look at everything once; returns whether all is to be published again, because the broker refused some of it a while ago.

        While some of it cannot be monitored, cameras and sensors cannot be trusted: flags are uncertain then.
        """
        self._announce = False
        parts = (
            self._sample_silence,
            self._sample_cameras,
            self._sample_frozen,
            self._sample_device,
            self._sample_refusals,
        )
        done = [self._errors.guarded("monitor", partial(part, now_ns, now_wall_ns)) for part in parts]
        # last: it reports the others
        self._errors.guarded("monitor", partial(self._sample_errors, now_ns, now_wall_ns))
        trusted = all(done) and self._synchronised and not self._doubtful()
        trust = Quality.GOOD if trusted else Quality.UNCERTAIN
        for channel in self._channels:
            channel.trust = trust
        return self._announce

    def relearn(self, name: str, now_ns: int) -> None:
        """An operator put a camera's alarm about its view back into service: what it sees now is what it shall see."""
        for camera_id, monitor in self._picture_monitors.items():
            if name in {alarm_id(camera_id, trouble) for trouble in LEARNED}:
                monitor.relearn()
                self._views.pop(camera_id, None)
                self._publisher.record(now_ns, (), (), {KEPT_VIEW + camera_id: None, KEPT_KINDS + camera_id: None})

    def _sample_silence(self, now_ns: int, now_wall_ns: int) -> None:
        """Who gives nothing: the gateway for all that come over it, or a camera or sensor by itself."""
        arrived_ns = {camera.id: self._health.ages_ns(camera.id, now_ns).arrived for camera in self._site.cameras}
        last_ns = {name: None if age_ns is None else now_ns - age_ns for name, age_ns in arrived_ns.items()}
        last_ns |= self._health.sensors_last_ns()
        found = self._causes.look(last_ns, now_ns)
        for gateway, is_silent in found.gateways.items():
            self._annunciator.sample(alarm_id(gateway, Concern.SILENT), silent(is_silent), now_ns, now_wall_ns)
        never = {name for name, last in last_ns.items() if last is None}
        for name in self._speaking.others(found.silent, found.undecided, found.hidden, never):
            if name in found.undecided:
                continue
            self._suppress(name, Concern.SILENT, found.hidden.get(name), now_ns, now_wall_ns)
            if name in found.hidden:
                continue
            if name in arrived_ns:  # frames that come are not enough: they must be judged
                judged_ns = self._health.ages_ns(name, now_ns).judged
                evidence = silence(judged_ns, now_ns - self._started_ns, self._stale_ns[name])
            else:
                evidence = silent(name in found.silent or (None if name in never else False))
            self._annunciator.sample(alarm_id(name, Concern.SILENT), evidence, now_ns, now_wall_ns)
            if name not in arrived_ns and name not in found.silent and name not in never:
                self._speaking.sampled(name, evidence)

    def _sample_cameras(self, now_ns: int, now_wall_ns: int) -> None:
        uptime_ns = now_ns - self._started_ns
        for camera in self._site.cameras:
            ages = self._health.ages_ns(camera.id, now_ns)
            evidence = lateness(ages.arrived, ages.in_budget, uptime_ns, self._stale_ns[camera.id])
            self._annunciator.sample(alarm_id(camera.id, Concern.LATE), evidence, now_ns, now_wall_ns)
            reported = None if camera.source is None else self._health.trouble(camera.id)
            reason = None if reported is None else (reported.value, TROUBLE_TEXTS[reported])
            self._annunciator.reason(alarm_id(camera.id, Concern.SILENT), reason, now_ns, now_wall_ns)
        for camera_id, monitor in self._picture_monitors.items():
            for trouble in Trouble:
                evidence = monitor.evidence(trouble, now_ns)
                self._annunciator.sample(alarm_id(camera_id, trouble), evidence, now_ns, now_wall_ns)
            self._keep_view(camera_id, monitor.learned, now_ns, now_wall_ns)
            self._tell_kind(camera_id, monitor.contract, now_ns, now_wall_ns)

    def _suppress(self, source: str, concern: Concern, gateway: str | None, now_ns: int, now_wall_ns: int) -> None:
        """Hide an alarm while its gateway's says why; once each time, so that an operator may show it."""
        name = alarm_id(source, concern)
        if gateway is None:
            self._hidden.discard(name)
            self._annunciator.suppress(name, None, now_ns, now_wall_ns)
        elif name not in self._hidden:
            self._hidden.add(name)
            cause = f"{alarm_id(gateway, concern)} says why"
            self._annunciator.suppress(name, cause, now_ns, now_wall_ns)

    def _sample_frozen(self, now_ns: int, now_wall_ns: int) -> None:
        """Who repeats one value: the gateway for all that come over it, or a sensor by itself. Of a silent one nothing is known."""
        if not self._frozen_ns:
            return
        newest_ns = {name: at_ns for name, at_ns in self._health.sensors_last_ns().items() if at_ns is not None}
        since_ns = self._health.sensors_steady_since_ns()
        known = [name for name in self._frozen_ns if name in newest_ns]
        changed_ns: dict[str, int | None] = dict.fromkeys(self._frozen_ns) | {name: since_ns[name] for name in known}
        stale = {name for name in self._frozen_ns if now_ns - newest_ns.get(name, -FOREVER_NS) > self._stale_ns[name]}
        found = self._frozen_causes.look(changed_ns, now_ns, stale, {name: newest_ns[name] for name in known})
        for gateway, is_frozen in found.gateways.items():
            self._annunciator.sample(alarm_id(gateway, Concern.FROZEN), stuck(is_frozen), now_ns, now_wall_ns)
        for name in self._changing.others(found.silent, found.undecided, found.hidden, stale):
            if name in found.undecided:
                continue
            if name not in stale:
                self._suppress(name, Concern.FROZEN, found.hidden.get(name), now_ns, now_wall_ns)
            if name in stale or name not in found.hidden:
                evidence = stuck(None if name in stale else name in found.silent)
                self._annunciator.sample(alarm_id(name, Concern.FROZEN), evidence, now_ns, now_wall_ns)
                if name not in stale and name not in found.silent:
                    self._changing.sampled(name, evidence)

    def _sample_device(self, now_ns: int, now_wall_ns: int) -> None:
        if self._site.node.state_dir is not None:
            stats = self._journal.stats()
            evidence = unsafe(stats.storage, stats.set_aside)
            self._annunciator.sample(alarm_id(NODE, Concern.STORAGE), evidence, now_ns, now_wall_ns)
        taken_over_ns = self._taken_over()
        evidence = duplicate_client(None if taken_over_ns is None else now_ns - taken_over_ns)
        self._annunciator.sample(alarm_id(NODE, Concern.TWIN), evidence, now_ns, now_wall_ns)
        if self._too_slow is not None:
            evidence = overloaded(too_slow=self._too_slow())
            self._annunciator.sample(alarm_id(NODE, Concern.SLOW), evidence, now_ns, now_wall_ns)
        required = self._site.node.require_synchronised_clock
        synchronised = self._clock.synchronised() if required else True
        differ_ns = self._clocks_differ_ns()
        evidence = adrift(synchronised, None if differ_ns is None else now_ns - differ_ns)
        self._annunciator.sample(alarm_id(NODE, Concern.CLOCK), evidence, now_ns, now_wall_ns)
        self._synchronised = bool(synchronised)

    def _sample_errors(self, now_ns: int, now_wall_ns: int) -> None:
        """Raise that this program has a fault, and journal where it showed first."""
        for problem in self._errors.take_news():
            event = self._publisher.event("system", "daemon", "internal error", now_wall_ns, detail=problem)
            self._publisher.record(now_ns, [event])
        evidence = broken(self._errors.failing())
        self._annunciator.sample(alarm_id(NODE, Concern.INTERNAL), evidence, now_ns, now_wall_ns)

    def _sample_refusals(self, now_ns: int, now_wall_ns: int) -> None:
        """Raise what the broker refuses, and ask for everything to be published again after a pause."""
        refused = self._refused()
        self._annunciator.sample(alarm_id(NODE, Concern.REFUSED), denied(refused), now_ns, now_wall_ns)
        if refused is None:
            return
        if not refused:
            if self._republish_ns is not None:
                self._journal.resend_unconfirmed()  # for what was refused just before the first was taken
            self._republish_ns = None
            return
        due = self._republish_ns is not None and now_ns >= self._republish_ns
        if due:
            self._journal.resend_unconfirmed()
        if due or self._republish_ns is None:
            self._republish_ns = now_ns + REPUBLISH_NS
        self._announce = due

    def _tell_kind(self, camera_id: str, contract: Contract, now_ns: int, now_wall_ns: int) -> None:
        """Count what kind of picture comes, journal a change of it, and keep what was accepted."""
        self._health.picture_seen(camera_id, contract.seen, contract.accepted)
        news = contract.take_news()
        if news:
            events = [
                self._publisher.event("system", camera_id, what, now_wall_ns, detail=detail) for what, detail in news
            ]
            self._publisher.record(now_ns, events, (), {KEPT_KINDS + camera_id: PlainState(contract.to_dict())})

    def _keep_view(self, camera_id: str, usual: Baseline | None, now_ns: int, now_wall_ns: int) -> None:
        """Keep what a camera's good pictures look like over a restart, which may come while its lens is covered."""
        kept, at_ns = self._views.get(camera_id, (None, 0))
        if usual is not None and usual is not kept and (kept is None or now_ns - at_ns >= KEEP_VIEW_NS):
            self._views[camera_id] = usual, now_ns
            self._publisher.record(
                now_ns, (), (), {KEPT_VIEW + camera_id: ViewRecord(usual, self._tensor, now_wall_ns)}
            )

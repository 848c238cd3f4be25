"""Reads, loads and proves a changed site file or another bundle beside the running one, before the two are exchanged.

One reload at a time, on a thread of its own behind all others. A reload that is refused changes nothing: the answer gives the reason. After an exchange the
former bundle is kept until the new one has judged real frames in time, and runs again if it does not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from edge.alarm.catalogue import NODE, Concern, alarm_id
from edge.assembly import Proven, Stages, make_stages, make_worker, prove_plan, publish_policy, summary
from edge.changeover import Changeover, ProfileRequest
from edge.commands import answer
from edge.errors import ConfigError, EdgeError
from edge.health.ledger import Tally
from edge.plan import Plan, make_plan, site_bundle, with_profile
from edge.rehearsal import rehearse
from edge.services import Services, journal_daemon
from edge.site.settings import Site
from edge.succession import Record, Succession, refuse_weaker, watched, weaknesses
from edge.system.internal_errors import InternalErrors
from edge.system.memory import trim_memory
from edge.system.realtime import make_realtime, native_thread_ids, step_back
from edge.units import NS_PER_S
from edge.wire.command import Request, accept, refuse

TRIAL_FRAMES = 50  # frames in time, after which the new bundle stays
TRIAL_LEAST = 10  # late frames, before they count
TRIAL_FAILURES = 3  # frames without scores
TRIAL_NS = 60 * NS_PER_S  # a camera that sends little does not keep the former bundle in memory forever

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a reload: a proven plan, or why there is none; and its request, None: SIGHUP.

    ``weaker`` states for each fault how the new bundle watches it less closely, which was accepted by name.
    """

    request: Request | None
    proven: Proven | None
    problem: str = ""
    weaker: Mapping[str, str] = field(default_factory=dict)

    @property
    def named(self) -> bool:
        """Whether the bundle is one that a command named, not the site file's own."""
        return self.request is not None and self.request.command.bundle is not None


class Reloader:
    """Prepares the next plan while the present one runs.

    Args:
        reread: reads the site file again; None: there is none.
        wake: makes the inference thread look.
        priority: SCHED_FIFO priority of the inference thread, which the new graph's threads get too; 0: none.
        errors: where exceptions go that are faults of this program.
    """

    def __init__(
        self,
        reread: Callable[[], Site] | None,
        wake: Callable[[], None],
        priority: int,
        errors: InternalErrors | None = None,
    ) -> None:
        self._reread = reread
        self._wake = wake
        self._priority = priority
        self._errors = errors or InternalErrors()
        self._lock = threading.Lock()  # guards the result; the thread's own place is the inference thread's
        self._hung_up = False
        self._thread: threading.Thread | None = None
        self._result: Result | None = None

    def hang_up(self) -> None:
        """Ask for a reload, as SIGHUP does; safe in a signal handler."""
        self._hung_up = True

    def take_hang_up(self) -> bool:
        """Whether a signal asked for one, once."""
        found, self._hung_up = self._hung_up, False
        return found

    def ask(self, request: Request | None, running: Plan, record: Record) -> str | None:
        """Begin; returns None, or why it did not. The inference thread calls this and `take`; ``record`` is of what ran here before."""
        if self._reread is None:
            return "this daemon was not started from a site file"
        if self._thread is not None:
            return "another reload is under way"
        thread = threading.Thread(
            target=self._work, args=(self._reread, request, running, record), name="reload", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # no more threads may be started now
            return f"{error}; try again later"
        self._thread = thread
        return None

    def take(self) -> Result | None:
        """Its result, once."""
        with self._lock:
            result, self._result = self._result, None
        if result is not None:
            self._thread = None
        return result

    def _work(self, reread: Callable[[], Site], request: Request | None, running: Plan, record: Record) -> None:
        """Always produce a result: without one no other reload could begin."""
        result = Result(request, None, "unexpected end of the reload, see the log")
        try:
            result = self._prove(reread, request, running, record)
        except EdgeError as error:
            result = Result(request, None, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the running plan continues
            result = Result(request, None, f"unexpected {type(error).__name__}, see the log")
            self._errors.caught("reload", error)
        finally:
            with self._lock:
                self._result = result
            self._wake()

    def _prove(self, reread: Callable[[], Site], request: Request | None, running: Plan, record: Record) -> Result:
        step_back()
        plan = next_plan(reread(), None if request is None else request.command.bundle, running, record)
        weaker = weaknesses(watched(running), plan)
        refuse_weaker(weaker, () if request is None else request.command.weaker)
        if plan.bundle is not None and plan.model != running.model:
            rehearse(plan.bundle, plan.site)
        before = native_thread_ids()
        try:
            # Timed by this thread's processor time: the running bundle's frames come first and must not count against the new one.
            proven = prove_plan(plan, time.thread_time_ns)
            pool = native_thread_ids() - before
            if pool and self._priority > 0:
                make_realtime(pool, self._priority)
        finally:
            trim_memory()
        return Result(request, proven, weaker=weaker)


def next_plan(site: Site, named: str | None, running: Plan, record: Record) -> Plan:
    """The plan of a site file that was read again, with its own bundle or the one named, a folder beside it.

    Raises:
        ConfigError: it asks for what cannot change without a restart, or does not fit the bundle.
        BundleError: the bundle may not go live here, or is older than the one that runs or one that ran here before.
    """
    refuse_fixed(site, running.site)
    if named is not None:
        if site.bundle is None or not site.asks_bundle():
            raise ConfigError("the site has no camera and no window, so no bundle runs that another could replace")
        site = site.model_copy(update={"bundle": site.bundle.parent / named})
    bundle = site_bundle(site)
    if bundle is not None and not site.runtime.allow_older_bundle:
        record.after(running, named=True).refuse_older(bundle.manifest, named=named is not None)
    return make_plan(site, bundle, running.profile)


def refuse_fixed(site: Site, running: Site) -> None:
    """Refuse what cannot change without a restart.

    Raises:
        ConfigError: it names every such key that changed.
    """
    fixed = {
        "node.id": (site.node.id, running.node.id),
        "node.state_dir": (site.node.state_dir, running.node.state_dir),
        "broker": (site.broker, running.broker),
        "sparkplug": (site.sparkplug, running.sparkplug),
        "runtime.realtime_priority": (site.runtime.realtime_priority, running.runtime.realtime_priority),
    }
    changed = [key for key, (new, old) in fixed.items() if new != old]
    if changed:
        raise ConfigError(f"{', '.join(changed)} cannot change without a restart; nothing was changed")


class Trial:
    """Whether a bundle that has just gone live keeps what it promises on real frames; pure.

    Args:
        former: what ran before, and its stages.
        tally: frames up to the exchange.
        now_ns: monotonic.
    """

    def __init__(self, former: tuple[Proven, Stages], tally: Tally, now_ns: int) -> None:
        self.former = former
        self._before = tally
        self._since_ns = now_ns

    def judge(self, tally: Tally, now_ns: int) -> tuple[Literal["running", "passed", "failed"], str]:
        """Its result so far, and why."""
        seen = tally.since(self._before)
        counts = f"{seen.in_time} frames in time, {seen.late} late, {seen.failed} without scores"
        if seen.failed >= TRIAL_FAILURES or (seen.late >= TRIAL_LEAST and seen.late > seen.in_time):
            return "failed", counts
        if seen.in_time >= TRIAL_FRAMES or now_ns - self._since_ns >= TRIAL_NS:
            return "passed", counts
        return "running", counts


class Live:
    """The running plan with its worker; another replaces it between two frames, at first on trial. On the inference thread only.

    Args:
        services: shared.
        reloader: proves the next plan.
        proven: what runs first.
        stages: its channels, rules and picture_monitors.
        succession: what ran before, and what an exchange changes for the operator.
        frame_waits: whether a frame waits for its turn now.
        changeover: which profile holds; None: nobody asks for another.
        reconfigure: brings what is outside the inference thread in line with another plan: intake, subscriptions, Sparkplug.
    """

    def __init__(
        self,
        services: Services,
        reloader: Reloader,
        proven: Proven,
        stages: Stages,
        succession: Succession,
        *,
        frame_waits: Callable[[], bool],
        reconfigure: Callable[[Plan, int], None],
        changeover: Changeover | None = None,
    ) -> None:
        self._changeover = changeover
        self._services = services
        self._reloader = reloader
        self._frame_waits = frame_waits
        self._reconfigure = reconfigure
        self._trial: Trial | None = None
        self._succession = succession
        self._go_live(proven, stages)
        succession.begin(proven.plan)

    @property
    def plan(self) -> Plan:
        """What is watched."""
        return self.proven.plan

    def summary(self) -> str:
        """One line for the log: what is watched, and the result of the proof here."""
        return summary(self.proven, self._services.realtime)

    def renew(self) -> None:
        """Begin the reload that a signal asked for, exchange what is proven, judge what is on trial; usually there is nothing to do."""
        if self._reloader.take_hang_up():
            refusal = self._reloader.ask(None, self.plan, self._succession.record)
            if refusal is not None:
                self._note("reload refused", refusal)
        self._succession.watch()
        asked = None if self._changeover is None else self._changeover.wanted()
        if self._changeover is not None and asked is not None:
            self._change_over(self._changeover, asked)
        result = self._reloader.take()
        if result is not None:
            self._finish(result)
        elif self._trial is not None:
            self._judge(self._trial)

    def _finish(self, result: Result) -> None:
        """Exchange the two, or answer why not; the sender of the command gets an answer."""
        problem = result.problem if result.proven is None else self._try(result, result.proven)
        if problem:
            _log.warning("reload refused: %s", problem)
            self._note("reload refused", problem)
        else:
            _log.info("reloaded: %s", self.summary())
            self._note("reloaded", f"{self.plan.title}, on trial")
        if result.request is not None:
            command = result.request.command
            reply = (
                refuse(command, "not_allowed", problem) if problem else accept(command, f"{self.summary()}; on trial")
            )
            answer(self._services, result.request, reply)

    def _try(self, result: Result, proven: Proven) -> str:
        """Put a proven plan on trial; returns None, or why not: the former plan then continues."""
        former, tally = (self.proven, self.stages), self._services.health.tally()
        self._services.annunciator.forget_removed(self._services.clock.monotonic_ns())  # by a reload before this one
        try:
            self._exchange(self._under(proven, self.plan.profile))
        except Exception as error:  # noqa: BLE001 - the sender gets an answer, and what ran before continues
            self._services.errors.caught("reload", error)
            self._exchange(*former)
            return f"the exchange failed: unexpected {type(error).__name__}, see the log; what ran before goes on"
        self._trial = Trial(former, tally, self._services.clock.monotonic_ns())
        self._succession.exchanged(former[0].plan, proven.plan, named=result.named, weaker=result.weaker)
        return ""

    def _change_over(self, changeover: Changeover, asked: ProfileRequest) -> None:
        """Another product is made: the same bundle and site under another profile, exchanged like a reload; one on trial stays on trial."""
        before = self.plan.profile
        try:
            proven = self._under(self.proven, asked.profile)
            if proven is not self.proven:
                self._exchange(proven)
        except Exception as error:  # noqa: BLE001 - the sender gets an answer, and what held before holds on
            self._services.errors.caught("changeover", error)
            reply = changeover.failed(asked, f"unexpected {type(error).__name__}, see the log")
        else:
            reply = changeover.changed(asked, before, self.plan)
        if reply is not None and asked.request is not None:
            answer(self._services, asked.request, reply)

    def _under(self, proven: Proven, profile: str | None) -> Proven:
        """What was proven, under a profile; the scores are the same, so nothing is proven again."""
        plan, proof = with_profile(proven.plan, profile), proven.proof
        if plan is proven.plan:
            return proven
        if proof is not None and not self._services.annunciator.is_active(alarm_id(NODE, Concern.SLOW)):
            # A busy start is measured again beside the frames: what it found since must not be forgotten.
            proof = replace(proof, frame_p50_ms=min(proof.frame_p50_ms, proof.budget_ms))
        return replace(proven, plan=plan, proof=proof)

    def _judge(self, trial: Trial) -> None:
        now_ns = self._services.clock.monotonic_ns()
        verdict, counts = trial.judge(self._services.health.tally(), now_ns)
        if verdict == "running":
            return
        gone = [trial.former]
        if verdict == "failed":
            gone = [(self.proven, self.stages)]
            self._exchange(self._under(trial.former[0], self.plan.profile), trial.former[1])
            _log.error("reload taken back, %s runs again: %s", self.plan.title, counts)
        self._note("reload kept" if verdict == "passed" else "reload taken back", counts)
        self._succession.trial_ended(self.plan, verdict)
        self._trial = None
        if self._services.annunciator.forget_removed(now_ns):
            self._services.inbox.reconnect()  # so that the broker drops their subscriptions too
        threading.Thread(target=_release, args=(gone,), name="let-go", daemon=True).start()

    def _exchange(self, proven: Proven, former: Stages | None = None) -> None:
        """Replace the running plan by a proven one: alarms keep their states, waiting frames stay, everything is published again."""
        services, plan = self._services, proven.plan
        stages = make_stages(plan, self.stages, former, is_active=services.annunciator.is_active)
        now_ns, now_wall_ns = services.clock.monotonic_ns(), services.clock.wall_ns()
        self._reconfigure(plan, now_ns)
        services.desk.refused = plan.site.commands.refused
        services.publisher.reconfigure(publish_policy(plan.site.publish), [channel.id for channel in plan.channels])
        services.annunciator.reconfigure(plan.alarms, plan.context, now_ns, now_wall_ns)
        services.inbox.reconnect()  # so that state, meta, alarms and flags are published again in the next turn
        self._go_live(proven, stages)

    def _go_live(self, proven: Proven, stages: Stages) -> None:
        proven.brake.frame_waits = self._frame_waits
        self.proven, self.stages = proven, stages
        self.worker = make_worker(proven, stages, self._services)
        if self._changeover is not None:
            self._changeover.went_live(proven.plan)

    def _note(self, what: str, detail: str) -> None:
        journal_daemon(self._services.publisher, self._services.clock, what, detail)


def _release(gone: list[tuple[Proven, Stages]]) -> None:
    """Free the memory of a bundle, on a thread of its own, which is not waited for."""
    gone.clear()
    trim_memory()

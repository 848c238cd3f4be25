"""A changed site file or another bundle is read, loaded and proven beside the running one; only then may the inference thread exchange the two.

One reload at a time, on a thread of its own behind all others. What cannot be, changes nothing: the answer says why. After an exchange the
former bundle is kept until the new one has judged real frames in time, and comes back if it does not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge.bundle import open_bundle
from edge.command import Request
from edge.envelope import Incoming
from edge.errors import ConfigError, EdgeError, ProofFailed
from edge.health import Tally
from edge.realtime import make_realtime, native_thread_ids, step_back, trim_memory
from edge.settings import Site
from edge.watch import Memory, Plan, Proven, make_plan, prove_plan

TRIAL_FRAMES = 50  # in time, and the new bundle stays
TRIAL_LEAST = 10  # late frames, before anything is made of them
TRIAL_FAILURES = 3  # frames without scores
TRIAL_NS = 60_000_000_000  # a camera that sends little does not keep the former bundle in memory for ever

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """Who asked, and where the answer goes; both None: SIGHUP."""

    request: Request | None = None
    incoming: Incoming | None = None

    @property
    def bundle(self) -> str | None:
        """The bundle that was named, if one was."""
        return None if self.request is None else self.request.command.bundle


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an order: a proven plan, or why there is none."""

    order: Order
    proven: Proven | None
    problem: str = ""


class Reloader:
    """Makes the next watch while the present one runs.

    Args:
        reread: reads the site file again; None: there is none.
        wake: makes the inference thread look.
        priority: SCHED_FIFO priority of the inference thread, which the new graph's threads get too; 0: none.
    """

    def __init__(self, reread: Callable[[], Site] | None, wake: Callable[[], None], priority: int) -> None:
        self._reread = reread
        self._wake = wake
        self._priority = priority
        self._thread: threading.Thread | None = None
        self._result: Result | None = None

    def ask(self, order: Order, running: Plan) -> str | None:
        """Begin; returns why not, or None. The inference thread calls this and `take`."""
        if self._reread is None:
            return "this daemon was not started from a site file"
        if self._thread is not None:
            return "another reload is under way"
        self._thread = threading.Thread(
            target=self._work, args=(self._reread, order, running), name="reload", daemon=True
        )
        self._thread.start()
        return None

    def take(self) -> Result | None:
        """What came of the order, once."""
        result = self._result
        if result is not None:
            self._result = self._thread = None
        return result

    def _work(self, reread: Callable[[], Site], order: Order, running: Plan) -> None:
        step_back()
        before = native_thread_ids()
        try:
            # Timed by this thread's processor time: the running bundle's frames come first and must not count against the new one.
            proven = prove_plan(next_plan(reread(), order.bundle, running), time.thread_time_ns)
            pool = native_thread_ids() - before
            if pool and self._priority > 0:
                make_realtime(pool, self._priority)
            result = Result(order, proven)
        except EdgeError as error:
            result = Result(order, None, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, what runs goes on running
            _log.exception("reload failed")
            result = Result(order, None, f"unexpected {type(error).__name__}, see the log")
        trim_memory()
        self._result = result
        self._wake()


def next_plan(site: Site, named: str | None, running: Plan) -> Plan:
    """The plan of a site file that was read again, with its own bundle or the one named, a folder beside it.

    Raises:
        ConfigError: it asks for what cannot change without a restart, or does not fit the bundle.
        BundleError: the bundle may not go live here, or is older than the one that runs.
    """
    refuse_fixed(site, running.site)
    if named is not None:
        site = site.model_copy(update={"bundle": site.bundle.parent / named})
    bundle = open_bundle(site.bundle)
    old, new = running.bundle.manifest, bundle.manifest
    if (new.name == old.name) and new.version < old.version:
        raise ProofFailed(
            f"{new.name} version {new.version} is older than version {old.version}, which runs; restart with it if it is meant"
        )
    return make_plan(site, bundle)


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
        former: what ran before, and its memory.
        tally: frames up to the exchange.
        now_ns: monotonic.
    """

    def __init__(self, former: tuple[Proven, Memory], tally: Tally, now_ns: int) -> None:
        self.former = former
        self._before = tally
        self._since_ns = now_ns

    def judge(self, tally: Tally, now_ns: int) -> tuple[Literal["running", "passed", "failed"], str]:
        """How it stands, and why."""
        seen = tally.since(self._before)
        told = f"{seen.in_time} frames in time, {seen.late} late, {seen.failed} without scores"
        if seen.failed >= TRIAL_FAILURES or (seen.late >= TRIAL_LEAST and seen.late > seen.in_time):
            return "failed", told
        if seen.in_time >= TRIAL_FRAMES or now_ns - self._since_ns >= TRIAL_NS:
            return "passed", told
        return "running", told

"""Which profile holds, for the product that is made: asked for by command or by the plant's topic, kept over restarts, journalled.

On the inference thread only. It decides what is wanted and records what was done; the exchange itself is the reload's (`edge.reload`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge.alarm.annunciator import Annunciator
from edge.frame import Recipe
from edge.plan import Plan
from edge.publish.entry import PlainState
from edge.publish.publisher import Publisher
from edge.site.profiles import profile_named
from edge.system.clock import Clock
from edge.wire.command import Request, accept, refuse
from edge.wire.requests import Reply

KEPT_PROFILE = "profile"  # name under which it survives a restart
MAX_WAITING = 16  # commands for a profile in one round

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """A profile that is to hold from now on; `request`: of the command that asks, None: the plant's topic does."""

    profile: str
    request: Request | None = None


class Changeover:
    """Knows which profile holds.

    Args:
        annunciator: whose alarms are suppressed while they do not hold.
        publisher: where changes are journalled and kept.
        clock: the two clocks.
        restored: what an earlier start kept.
        take: the newest word of the plant's topic since the last call; None: there is none.
        rejected: counts a word that means nothing, by reason.
    """

    def __init__(
        self,
        annunciator: Annunciator,
        publisher: Publisher,
        clock: Clock,
        *,
        restored: Mapping[str, Any],
        take: Callable[[], Recipe | None],
        rejected: Callable[[str], None],
    ) -> None:
        self._annunciator = annunciator
        self._publisher = publisher
        self._clock = clock
        self._take = take
        self._rejected = rejected
        self._word = _kept(restored, "word")
        self._kept = kept_profile(restored)
        self._waiting: list[ProfileRequest] = []
        self._plan: Plan | None = None
        #: What the plant's topic asked for and no profile is called; empty: it asked for none, or for one that there is.
        self.unknown = _kept(restored, "unknown") or ""

    def went_live(self, plan: Plan) -> None:
        """This plan runs now: alarms of faults that its profile does not hold are suppressed by design, the others are not."""
        before, self._plan = self._plan, plan
        now_ns, now_wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        for channel in plan.channels:
            if channel.id in self._annunciator:
                cause = None if channel.held else f"profile {plan.profile} does not hold it"
                if cause is not None and self._annunciator.suppressed_because(channel.id) not in {None, cause}:
                    self._annunciator.suppress(channel.id, None, now_ns, now_wall_ns)
                self._annunciator.suppress(channel.id, cause, now_ns, now_wall_ns)
        known = profile_named(plan.site.profiles, self.unknown)
        if known is not None:  # a reload taught us what the plant asks for
            self._waiting.append(ProfileRequest(known.id))
        if plan.profile != self._kept:
            why = "the site has no profiles" if plan.profile is None else f"{plan.profile} holds"
            if before is None and self._kept is not None:
                self._note("profile gone", f"{self._kept} is not in the site file any more; {why}")
            elif before is not None and plan.site != before.site:
                self._note("profile", f"{why} after a reload")
            self._keep(plan.profile)

    def command(self, request: Request, _now_ns: int, _now_wall_ns: int) -> Reply | None:
        """Take the command; the answer comes when the profile holds."""
        command, plan = request.command, self._plan
        if plan is None or not plan.site.profiles:
            return refuse(command, "not_allowed", "the site file has no [[profiles]]")
        found = profile_named(plan.site.profiles, command.profile or "")
        if found is None:
            known = ", ".join(profile.id for profile in plan.site.profiles)
            return refuse(command, "bad_request", f"no profile {command.profile!a}; there are {known}")
        if len(self._waiting) >= MAX_WAITING:
            return refuse(command, "busy", "too many changes of the profile wait: ask again")
        self._waiting.append(ProfileRequest(found.id, request))
        return None

    def wanted(self) -> ProfileRequest | None:
        """The next profile that is asked for; the commands first, in their order."""
        if self._waiting:
            return self._waiting.pop(0)
        recipe = self._take()
        return None if recipe is None or self._plan is None else self._heard(recipe, self._plan)

    def changed(self, asked: ProfileRequest, before: str | None, plan: Plan) -> Reply | None:
        """It holds: journal it; the reply to its command, if one asked."""
        self.unknown = ""
        held = sum(channel.held for channel in plan.channels)
        said = f"{plan.profile}: {held} of {len(plan.channels)} faults hold"
        user = None if asked.request is None else asked.request.command.user
        if before != plan.profile:
            by = "the plant's topic" if asked.request is None else "command"
            self._note("profile", f"from {before} to {said}; by {by}", user)
        self._keep(plan.profile)
        return None if asked.request is None else accept(asked.request.command, said)

    def failed(self, asked: ProfileRequest, problem: str) -> Reply | None:
        """It cannot hold: what held before holds on; the reply to its command, if one asked."""
        self._note(
            "profile refused",
            f"{asked.profile}: {problem}",
            None if asked.request is None else asked.request.command.user,
        )
        return None if asked.request is None else refuse(asked.request.command, "not_allowed", problem)

    def _heard(self, recipe: Recipe, plan: Plan) -> ProfileRequest | None:
        """What the plant's topic asks for. What the broker retained is no news if it is what the topic said last: a command may have come since."""
        if recipe.retained and recipe.word == self._word:
            return None
        self._word = recipe.word
        found = profile_named(plan.site.profiles, recipe.word)
        if found is None:
            self._rejected("unknown_profile")
            if self.unknown != recipe.word:
                self.unknown = recipe.word
                self._note(
                    "profile refused",
                    f"the plant's topic asks for {recipe.word[:60]!a}, which no profile is called; {plan.profile} holds on",
                )
            self._keep(plan.profile)
            return None
        return ProfileRequest(found.id)

    def _keep(self, profile: str | None) -> None:
        self._kept = profile
        state = None if profile is None else PlainState({"id": profile, "word": self._word, "unknown": self.unknown})
        self._publisher.record(self._clock.monotonic_ns(), (), (), {KEPT_PROFILE: state})

    def _note(self, what: str, detail: str, user: str | None = None) -> None:
        _log.info("%s: %s", what, detail)
        event = self._publisher.event(
            "system", "changeover", what, self._clock.wall_ns(), user=user, detail=detail[:300]
        )
        self._publisher.record(self._clock.monotonic_ns(), [event])


def kept_profile(restored: Mapping[str, Any]) -> str | None:
    """The profile that held when an earlier start ended; None: there was none."""
    return _kept(restored, "id")


def _kept(restored: Mapping[str, Any], name: str) -> str | None:
    data = restored.get(KEPT_PROFILE)
    value = data.get(name) if isinstance(data, Mapping) else None
    return value if isinstance(value, str) else None

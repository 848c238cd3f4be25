"""The ``[[profiles]]`` of a site file, one for each product: which faults, thresholds and limits hold; and ``[changeover]``: who says which product is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from edge.parsing.toml_file import Section
from edge.site.kinds import Identifier, Pointer, Topic

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class ProfileSettings(Section):
    """What holds while one product is made. See docs/profiles.md."""

    id: Identifier = Field(description="its name; the first profile of the file holds until another is asked for")
    title: str = Field(default="", description="name for people; default: the id")
    called: tuple[str, ...] = Field(
        default=(),
        max_length=64,
        description='what the plant calls it besides its id, e.g. the number of a recipe: ["12"]',
    )
    faults: tuple[Identifier, ...] | None = Field(
        default=None,
        description="faults that hold; regions that no fault of these looks at are not computed; default: all. The others are unknown, and their alarms "
        "are suppressed by design",
    )
    thresholds: dict[Identifier, Share] = Field(
        default_factory=dict,
        description="by fault: the score at and above which it is a fault here; its release moves along; default: the bundle's",
    )
    limits: dict[Identifier, float] = Field(
        default_factory=dict, description="by rule: its `limit` here; default: that of the rule"
    )

    def holds(self, fault: str) -> bool:
        """Whether a fault holds."""
        return self.faults is None or fault in self.faults


class ChangeoverSettings(Section):
    """Where the plant says which product is made. See docs/profiles.md."""

    topic: Topic | None = Field(
        default=None,
        description="MQTT topic with the product, which may be retained; none: only `cmd/profile` changes it",
    )
    pointer: Pointer | None = Field(default=None, description="JSON pointer to the product; default: the whole payload")


def profile_named(profiles: Sequence[ProfileSettings], word: str) -> ProfileSettings | None:
    """The profile that a word means; None: no one of them."""
    return next((profile for profile in profiles if word == profile.id or word in profile.called), None)


def profile_problems(
    profiles: Sequence[ProfileSettings], faults: Sequence[str], limits: Mapping[str, bool]
) -> Iterator[str]:
    """What contradicts itself or the site in its profiles.

    Args:
        profiles: all of them.
        faults: ids of the site's faults; none: they are the bundle's, and looked at later.
        limits: ids of rules, and whether a rule has a `limit`.
    """
    words = [word for profile in profiles for word in {profile.id, *profile.called}]
    twice = sorted({word for word in words if words.count(word) > 1})
    if twice:
        yield f"two profiles are called {twice[0]!r}: nobody could say which is meant"
    for profile in profiles:
        named = [*(profile.faults or ()), *profile.thresholds]
        unknown = sorted({fault for fault in named if faults and fault not in faults})
        if unknown:
            yield f"profile {profile.id} names faults {unknown}, which are not among {sorted(faults)}"
        idle = sorted(fault for fault in profile.thresholds if not profile.holds(fault))
        if idle:
            yield f"profile {profile.id} has thresholds for {idle}, which do not hold in it: add them to its faults, or leave the thresholds out"
        strange = sorted(set(profile.limits) - limits.keys())
        if strange:
            yield f"profile {profile.id} has limits for rules {strange}, which are not among {sorted(limits)}"
        wrong = sorted(rule for rule in profile.limits if not limits.get(rule, True))
        if wrong:
            yield f"profile {profile.id} has limits for rules {wrong}, which have no single `limit` or a bit in its place: make a rule for each product"

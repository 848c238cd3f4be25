"""What `check` says of a site's profiles: what each holds, what it leaves out, and where it watches less closely than bundle and rules do."""

from __future__ import annotations

from collections.abc import Iterator

from edge.manifest import Manifest
from edge.plan import resolve_channels
from edge.site.profiles import ProfileSettings
from edge.site.settings import Site
from edge.verdict.channel import ChannelSpec


def profile_lines(site: Site, manifest: Manifest | None) -> Iterator[str]:
    """Each profile, joined with the bundle as the daemon joins it.

    Raises:
        ConfigError: one does not fit.
    """
    plain = {channel.id: channel for channel in resolve_channels(site, manifest)} if site.profiles else {}
    for number, profile in enumerate(site.profiles):
        channels = resolve_channels(site, manifest, profile)
        held = [channel.id for channel in channels if channel.held]
        left = [channel.id for channel in channels if not channel.held]
        first = ", holds at the first start" if number == 0 else ""
        called = f", called {', '.join(profile.called)}" if profile.called else ""
        text = f"profile   {profile.id}{called}{first}: {', '.join(held) or 'NO FAULT HOLDS'}"
        yield text + (f"; left out, unknown and suppressed: {', '.join(left)}" if left else "")
        yield from _moved_lines(site, profile, channels, plain)
    if site.profiles:
        topic = site.changeover.topic
        yield f"profile   changed by cmd/profile{'' if topic is None else f' and by {topic}'}"
    if site.profiles and site.node.state_dir is None:
        yield f"profile   NOT KEPT: without node.state_dir a restart begins with {site.profiles[0].id}"


def _moved_lines(
    site: Site, profile: ProfileSettings, channels: tuple[ChannelSpec, ...], plain: dict[str, ChannelSpec]
) -> Iterator[str]:
    for channel in channels:
        before, now = plain[channel.id].fault, channel.fault
        if before is not None and now is not None and channel.id in profile.thresholds:
            less = "; WATCHES LESS CLOSELY than the bundle was proven for" if now.threshold > before.threshold else ""
            yield f"profile   {profile.id}: {channel.id} from {now.threshold:g} on, not {before.threshold:g}{less}"
    limits = {rule.id: rule.numbers[0] for rule in site.rules}
    for rule, limit in profile.limits.items():
        yield f"profile   {profile.id}: rule {rule} has the limit {limit:g}, not {limits[rule]:g}"

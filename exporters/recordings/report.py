"""The report of a recording for people: what was read and left out, limits, alarms of each group, known faults, and what is missing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from edge.units import NS_PER_S
from exporters.pack.drawing import new_figure
from exporters.recordings.findings import Fitted, confounds, episodes
from exporters.recordings.fit import CANDIDATES
from exporters.recordings.limits import alarm_starts, days_text, most_alarms
from exporters.recordings.recipe import DAY_NS, RecordingRecipe

MOST_GROUPS = 40  # rows of the table; the rest is said in one line
MOST_FAULTS = 60
_WHAT = dict(
    zip(
        CANDIDATES,
        ("limits of each operating state", "what the sensors say of each other", "both at once"),
        strict=True,
    )
)


def verdict_lines(recipe: RecordingRecipe, found: Fitted) -> list[str]:
    """What matters most, a sentence each."""
    limit, bound = found.chosen.limit, recipe.fault.bound
    groups = len(set(found.windows.groups[found.normal].tolist()))
    lines = [
        f"{recipe.name}: {int(found.normal.sum())} normal windows in {groups} groups ({recipe.recording.group}); `{found.chosen.kind}` was kept.",
        f"Left out in turn, they raised {limit.alarms} alarms in {days_text(limit.days)} at this limit; allowed: {bound}.",
    ]
    if limit.armed:
        lines.append(f"{recipe.fault.id} is armed.")
    else:
        needed = most_alarms(0) / recipe.fault.per_day
        lines.append(
            f"{recipe.fault.id} is NOT ARMED: `{bound}` needs {days_text(needed)} of left-out normal operation without an alarm, and there are "
            f"{days_text(limit.days)}. Record {days_text(limit.missing_days)} more, or promise less."
        )
    shown = episodes(recipe, found)
    if shown:
        lines.append(
            f"Of {len(shown)} known faults {sum(one.flagged > 0 for one in shown)} were found; they chose nothing."
        )
    return [*lines, *confounds(recipe, found.windows)]


def markdown(recipe: RecordingRecipe, found: Fitted, p50_ms: float) -> bytes:
    """The whole report."""
    parts = [
        f"# {recipe.name}\n",
        "\n".join(f"- {line}" for line in verdict_lines(recipe, found)) + "\n",
        f"A run takes {p50_ms:.2f} ms here (p50).\n",
        "![scores over time](scores.png)\n",
        "## What was left out\n",
        _left_out(found),
        "## Candidates\n",
        "The shift is how far one sensor must move to be flagged, in its spread within a state: less is better. It needs no known fault.\n",
        _table(
            ("candidate", "what it is", "alarms left out", "shift", "standard error", "kept"),
            [
                (
                    one.kind,
                    _WHAT[one.kind],
                    one.limit.alarms,
                    f"{one.shift:.2f}",
                    f"{one.error:.2f}",
                    "yes" if one is found.chosen else "",
                )
                for one in found.candidates
            ],
        ),
        "## States\n",
        _states(recipe, found),
        "## Limits\n",
        _limits(recipe, found),
        "## Groups\n",
        _groups(recipe, found),
        *_known_faults(recipe, found),
    ]
    return "\n".join(parts).encode()


def scores_plot(recipe: RecordingRecipe, found: Fitted) -> bytes:
    """Scores over the windows in the order of files and time; groups side by side."""
    figure = new_figure(figsize=(10, 3), layout="constrained")
    axis = figure.subplots()
    score = found.evidence / (found.evidence + 1.0)
    place = np.arange(len(score))
    for chosen, name, colour in (
        (found.normal, "normal, left out", "#4c78a8"), (found.windows.kind == 1, "excluded or mixed", "#bbbbbb"), (found.windows.kind == 2, "known fault", "#e45756"),
    ):  # fmt: skip
        if chosen.any():
            axis.plot(place[chosen], score[chosen], ".", markersize=2, color=colour, label=name)
    for cut in np.flatnonzero(found.windows.groups[1:] != found.windows.groups[:-1]):
        axis.axvline(cut + 1, color="#dddddd", linewidth=0.5, zorder=0)
    axis.axhline(0.5, color="black", linewidth=1)
    axis.set_ylim(0, 1)
    axis.set_ylabel(f"score of {recipe.fault.id}")
    axis.set_xlabel("windows, file by file (thin lines: groups)")
    axis.legend(fontsize=7, frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()


def _left_out(found: Fitted) -> str:
    unknown = int((~np.isfinite(found.evidence)).sum())
    lines = [f"- {count} {why}" for why, count in found.windows.left_out.most_common()]
    lines += [f"- {int((found.windows.kind == 1).sum())} windows that are excluded, or partly excluded or faulty"]
    if unknown:
        lines.append(
            f"- {unknown} windows of which nothing is known: the state changed meanwhile, or no other group has it"
        )
    return "\n".join(lines) + "\n"


def _states(recipe: RecordingRecipe, found: Fitted) -> str:
    edges, step_ns = found.form.edges, _step_ns(recipe)
    rows: list[Sequence[object]] = []
    for state in range(found.form.states):
        own = found.normal & (found.states == state)
        low = f"{edges[state - 1]:g}" if state else "-"
        high = f"{edges[state]:g}" if state < len(edges) else "-"
        days = own.sum() * step_ns / DAY_NS
        groups = len(set(found.windows.groups[own].tolist()))
        rows.append((f"{low} to {high}", groups, days_text(days), *_support(recipe, found, own, groups)))
    name = recipe.state.sensor if recipe.state is not None else "one state"
    return _table(
        (name, "groups", "normal operation", "alarms, left out", f"{recipe.fault.bound} in this state alone"), rows
    ) + (
        "\nThe fault is armed by all states together. A state that does not show the bound by itself may raise more.\n"
        if recipe.state is not None
        else ""
    )


def _support(recipe: RecordingRecipe, found: Fitted, own: NDArray[np.bool_], groups: int) -> tuple[object, str]:
    """Alarms of the left-out windows of a state, and whether they show the bound in it."""
    judged = own & np.isfinite(found.evidence)
    if not judged.any():
        return "-", (
            "one group: its left-out windows are not judged" if groups else "never recorded: unknown on the device"
        )
    step_ns, windows = _step_ns(recipe), found.windows
    alarms = len(
        alarm_starts(found.flagged[judged], windows.at_ns[judged], windows.files[judged], recipe.fault, 3 * step_ns)
    )
    missing = most_alarms(alarms) / recipe.fault.per_day - judged.sum() * step_ns / DAY_NS
    return alarms, "shown" if missing <= 0 else f"not shown: {days_text(missing)} more without an alarm are missing"


def _step_ns(recipe: RecordingRecipe) -> int:
    return round(recipe.window.period_ms * 1e6) * recipe.window.step


def _limits(recipe: RecordingRecipe, found: Fitted) -> str:
    """Of `states` in units of the sensors, of `residual` in the spread of each; of `both` those of states, which alone flag nothing."""
    normal = found.chosen.fits.normal
    reaches = normal.reach(found.chosen.limit.value)  # of `both` the first half is that of `states`
    rows: list[Sequence[object]] = []
    for place, (statistic, sensor) in enumerate(
        (one, sensor) for one in found.form.statistics for sensor in recipe.sensors
    ):
        for state in np.flatnonzero(normal.known).tolist():
            reach = reaches[state, place] * normal.width[state, place]
            middle = normal.centre[state, place]
            if found.chosen.kind == "residual":
                text = (
                    f"{reach:.4g} {sensor.unit} from what the others predict"
                    if statistic == "mean"
                    else f"a factor of {np.exp(min(reach, 50)):.3g}"
                )
            elif statistic == "mean":
                text = f"{middle - reach:.5g} to {middle + reach:.5g} {sensor.unit}"
            else:
                text = f"{np.exp(max(middle - reach, -50)):.3g} to {np.exp(min(middle + reach, 50)):.3g} {sensor.unit}"
            rows.append((sensor.id, statistic, state, text))
    return _table(("sensor", "statistic", "state", "normal"), rows)


def _groups(recipe: RecordingRecipe, found: Fitted) -> str:
    windows, normal = found.windows, found.normal
    step_ns = _step_ns(recipe)
    ids = [sensor.id for sensor in recipe.sensors]
    rows: list[Sequence[object]] = []
    for group in dict.fromkeys(windows.groups[normal].tolist()):
        own = normal & (windows.groups == group) & np.isfinite(found.evidence)
        if not own.any():
            continue
        worst = int(np.flatnonzero(own)[found.evidence[own].argmax()])
        alarms = len(
            alarm_starts(found.flagged[own], windows.at_ns[own], windows.files[own], recipe.fault, 3 * step_ns)
        )
        rows.append(
            (group, int(own.sum()), days_text(own.sum() * step_ns / DAY_NS), alarms, f"{found.evidence[worst] / (found.evidence[worst] + 1):.2f}",
             ids[int(found.shares[worst].argmax())], _time(int(windows.at_ns[worst])))
        )  # fmt: skip
    rows.sort(key=lambda row: -float(str(row[4])))
    text = _table(
        ("group, left out", "windows", "time", "alarms", "highest score", "by sensor", "at"), rows[:MOST_GROUPS]
    )
    return text + (
        f"\nand {len(rows) - MOST_GROUPS} more groups with lower scores.\n" if len(rows) > MOST_GROUPS else ""
    )


def _known_faults(recipe: RecordingRecipe, found: Fitted) -> list[str]:
    shown = episodes(recipe, found)
    if not shown:
        return []
    rows = [(one.group, _time(one.start_ns), one.windows, one.flagged, one.sensor) for one in shown[:MOST_FAULTS]]
    return [
        "## Known faults\n",
        "They chose nothing: neither candidate nor limit.\n",
        _table(("group", "from", "windows", "flagged", "by sensor"), rows),
    ]


def _time(at_ns: int) -> str:
    return f"{datetime.fromtimestamp(at_ns // NS_PER_S, UTC):%Y-%m-%d %H:%M:%S}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"

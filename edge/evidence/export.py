"""A recording as one zip that opens on any machine: every picture, its log, and one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import IO, Any

from edge.errors import EdgeError
from edge.evidence.recording import LOG, Recording
from edge.wire.topics import content_type

MAX_SHOWN = 48  # pictures inside the page; all are in the zip
_WIDTH, _HEIGHT = 900, 160  # of the chart, px
_INKS = ("#0b6bcb", "#b3541e", "#2e7d32", "#7b3fa0", "#8a6d00", "#00727a", "#a02050", "#4a5568")

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1f23; --soft: #5d6670; --line: #c9cfd6; --back: #f4f5f6; --mark: #b00020 }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ec; --soft: #a2abb5; --line: #454c54; --back: #17191c; --mark: #ff6b7a } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--back); margin: 1.5rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse } td, th { text-align: left; padding: .15rem .9rem .15rem 0; vertical-align: top } th { color: var(--soft); font-weight: 500 }
.frames { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .8rem; padding: 0; list-style: none }
.frames img { width: 100%; display: block; border: 1px solid var(--line) } .frames .raised img { border: 3px solid var(--mark) }
.frames p { margin: .2rem 0 0; font-size: .82rem; color: var(--soft) } svg { width: 100%; height: auto; border: 1px solid var(--line) }
"""


def zipped(recording: Recording) -> bytes:
    """The whole recording as a zip.

    Raises:
        EdgeError: no picture of it is left.
    """
    held = io.BytesIO()
    zip_into(recording, held)
    return held.getvalue()


def zip_into(recording: Recording, out: IO[bytes]) -> None:
    """The same into a file that is open: one picture at a time is in memory.

    Raises:
        EdgeError: no picture of it is left.
    """
    if not any(recording.picture(facts) for facts in recording.frames):
        raise EdgeError(f"{recording.folder} holds no picture that is whole")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.html", page(recording))
        archive.write(recording.folder / LOG, LOG)
        for facts in recording.frames:
            picture = recording.picture(facts)
            if picture is not None:
                archive.writestr(zipfile.ZipInfo(f"frames/{facts['file']}"), picture)  # stored: a JPEG gets no smaller


def write_zip(recording: Recording, out: Path) -> None:
    """Write the zip.

    Raises:
        EdgeError: there is nothing to write, or it cannot be written.
    """
    body = zipped(recording)
    try:
        with out.open("xb") as file:
            file.write(body)
    except OSError as error:
        raise EdgeError(f"cannot write {out}: {error.strerror}") from error


def page(recording: Recording) -> str:
    """The page: what was raised, what ran, the scores over time, and pictures around each alarm."""
    about, end = recording.about, recording.end
    state = "whole"
    if not recording.complete:
        state = f"not whole: {(end or {}).get('why') or 'frames were left out' if end else 'its writer still writes, or was killed'}"
    model = about.get("model") or {}
    facts = {
        "Camera": about.get("camera"),
        "Recording": state,
        "Frames": len(recording.frames),
        "Bundle": f"{model.get('name')} version {model.get('version')}, sha256 {model.get('sha256')}"
        if model
        else "none",
        "Topics": about.get("topics"),
        "Session": about.get("session"),
    }
    rows = "".join(f"<tr><th>{escape(str(key))}</th><td>{escape(str(value))}</td></tr>" for key, value in facts.items())
    raised = "".join(
        f"<tr><td>{escape(str(mark.get('at')))}</td><td>{escape(str(mark.get('alarm')))}</td><td>{escape(str(mark.get('occurrence')))}</td></tr>"
        for mark in recording.raised
    )
    title = (
        f"Evidence of {', '.join(sorted({str(mark.get('alarm')) for mark in recording.raised})) or about.get('camera')}"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1><table>{rows}</table>"
        f"<h2>Alarms raised</h2><table><tr><th>time</th><th>alarm</th><th>occurrence</th></tr>{raised}</table>"
        f"<h2>Scores</h2>{_chart(recording)}<h2>Pictures</h2><ul class='frames'>{_pictures(recording)}</ul></body></html>"
    )


def _pictures(recording: Recording) -> str:
    marked = _raised_frames(recording)
    shown = []
    for index in _chosen(len(recording.frames), marked):
        facts = recording.frames[index]
        picture = recording.picture(facts)
        if picture is not None:
            shown.append(_figure(facts, picture, is_raised=index in marked))
    return "".join(shown)


def _raised_frames(recording: Recording) -> set[int]:
    """Places of the frames that were the newest ones when an alarm was raised."""
    received = [str(facts.get("received")) for facts in recording.frames]  # RFC 3339 in UTC: in the order of time
    places = (bisect_right(received, str(mark.get("at"))) - 1 for mark in recording.raised)
    return {place for place in places if place >= 0}


def _chosen(count: int, marked: set[int]) -> list[int]:
    """At most `MAX_SHOWN` places: those of the alarms, the others evenly."""
    if count <= MAX_SHOWN:
        return list(range(count))
    wanted = set(sorted(marked)[: MAX_SHOWN // 2])
    rest = MAX_SHOWN - len(wanted)
    return sorted(wanted | {number * count // rest for number in range(rest)})


def _figure(facts: Mapping[str, Any], picture: bytes, *, is_raised: bool) -> str:
    flags = facts.get("flags") or {}
    judged = [
        f"{name} {verdict}{'' if score is None else f' {score:.3f}'} ({quality})"
        for name, (verdict, score, quality) in flags.items()
    ]
    readings = [f"{name} {value}" for name, value in (facts.get("readings") or {}).items()]
    if facts.get("unjudged"):
        judged.append(f"not judged: {facts['unjudged']}")
    words = escape("; ".join([*judged, *readings]))
    image = base64.b64encode(picture).decode()
    when = escape(str(facts.get("received")))
    return (
        f"<li{' class=raised' if is_raised else ''}><img alt='frame {escape(str(facts.get('seq')))}, {when}' "
        f"src='data:{content_type(picture)};base64,{image}'><p>{when}, flag after {escape(str(facts.get('flag_ms')))} ms"
        f"{', late' if facts.get('late') else ''}<br>{words}</p></li>"
    )


def _chart(recording: Recording) -> str:
    """Every channel's score over the frames, its threshold as a broken line, alarms as upright lines."""
    frames, thresholds = recording.frames, recording.about.get("thresholds") or {}
    names = sorted({name for facts in frames for name in facts.get("flags") or {}})
    if not names or len(frames) < 2:
        return "<p>Too few frames for a chart.</p>"
    step = _WIDTH / (len(frames) - 1)
    lines, legend = [], []
    for index, name in enumerate(names):
        ink = _INKS[index % len(_INKS)]
        points = [
            f"{number * step:.1f},{_HEIGHT * (1 - score):.1f}"
            for number, facts in enumerate(frames)
            if (score := (facts.get("flags") or {}).get(name, (None, None, None))[1]) is not None
        ]
        lines.append(f"<polyline fill='none' stroke='{ink}' stroke-width='1.5' points='{' '.join(points)}'/>")
        limit = thresholds.get(name)
        if limit is not None:
            y = _HEIGHT * (1 - limit)
            lines.append(
                f"<line x1='0' x2='{_WIDTH}' y1='{y:.1f}' y2='{y:.1f}' stroke='{ink}' stroke-dasharray='6 5'/>"
            )
        threshold = "" if limit is None else f", threshold {limit:.3f}"
        legend.append(f"<span style='color:{ink}'>{escape(name)}{threshold}</span>")
    lines += [
        f"<line x1='{place * step:.1f}' x2='{place * step:.1f}' y1='0' y2='{_HEIGHT}' stroke='#b00020' stroke-width='2'/>"
        for place in sorted(_raised_frames(recording))
    ]
    return f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img' aria-label='scores over time'>{''.join(lines)}</svg><p>{', '.join(legend)}</p>"


def listing(found: Sequence[Recording]) -> str:
    """Lines for a terminal: one for each occurrence."""
    rows = [
        f"{mark.get('at')}  {mark.get('alarm'):<24}  {mark.get('occurrence'):<26}  {len(recording.frames):>5} frames  "
        f"{'whole' if recording.complete else 'not whole'}"
        for recording in found
        for mark in recording.raised
    ]
    return "\n".join(rows or ["no evidence is kept"])


def as_json(found: Sequence[Recording]) -> str:
    """The same as JSON."""
    return json.dumps(
        [
            {"recording": recording.folder.name, "camera": recording.about.get("camera"), "frames": len(recording.frames),
             "whole": recording.complete, "raised": [{key: mark.get(key) for key in ("at", "alarm", "occurrence")} for mark in recording.raised]}
            for recording in found
        ],
        indent=1,
    )  # fmt: skip

"""The live view: one screen of text drawn from the watch, in colour where the terminal has it. Pure; `Screen` is what writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TextIO

from edge.frame import Verdict
from edge.wire.messages import Alarm, Flag
from examples.demo.story import SENSORS, ChannelPlan
from examples.demo.watch import STANDING, Note, Watch

LEAST_COLUMNS, LEAST_ROWS = 92, 27
MOST_COLUMNS = 110
BAR_CELLS = 22
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")

INK = {
    "plain": "", "dim": "38;5;245", "bold": "1", "green": "38;5;35", "red": "38;5;203", "yellow": "38;5;179", "blue": "38;5;74",
    "fault": "1;38;5;231;48;5;160", "ok": "38;5;35", "unknown": "38;5;16;48;5;179", "title": "1;38;5;231;48;5;24", "rule": "38;5;239",
}  # fmt: skip
NOTE_INK = {
    "start": "dim", "line": "blue", "flag": "green", "sensor": "green", "false": "red", "alarm": "yellow", "operator": "bold",
}  # fmt: skip
VERDICT_TEXT = {Verdict.FAULT: " FAULT ", Verdict.OK: "  ok   ", Verdict.UNKNOWN: "unknown"}


def ink(text: str, colour: str) -> str:
    """Text in a colour of `INK`, as ANSI escapes."""
    return f"\x1b[{INK[colour]}m{text}\x1b[0m" if INK[colour] else text


def plain(text: str) -> str:
    """Text without escapes."""
    return _ESCAPE.sub("", text)


def fit(text: str, columns: int) -> str:
    """Text cut or padded to a visible width; escapes take no room."""
    visible = plain(text)
    if len(visible) <= columns:
        return text + " " * (columns - len(visible))
    kept, room = [], columns
    for piece in re.split(r"(\x1b\[[0-9;]*m)", text):
        if _ESCAPE.fullmatch(piece):
            kept.append(piece)
        else:
            kept.append(piece[:room])
            room -= len(piece[:room])
    return "".join(kept) + "\x1b[0m"


def bar(share: float, cells: int) -> str:
    """A horizontal bar in eighths of a cell."""
    eighths = round(max(0.0, min(1.0, share)) * cells * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(cells)


def spark(values: Iterable[float], low: float, high: float) -> str:
    """A line of small columns, one for each value."""
    top = len(_LEVELS) - 1
    return "".join(_LEVELS[round(max(0.0, min(1.0, (value - low) / (high - low))) * top)] for value in values)


def draw(watch: Watch, *, columns: int, rows: int) -> list[str]:
    """The whole screen as lines of at most `columns` visible characters."""
    width = min(columns, MOST_COLUMNS)
    lines = [
        _title(watch, width),
        ink(watch.page and f" {watch.page}", "dim"),
        _part(watch),
        "",
        *_channels(watch, width),
        "",
        *_sensors(watch, width),
        "",
    ]
    lines += [*_deadline(watch, width), "", *_alarms(watch, width), ""]
    room = max(2, rows - len(lines) - 2)
    lines += [_rule("story", width), *(_note(note, width) for note in watch.notes[-room:])]
    lines += [""] * (room - min(room, len(watch.notes)))
    return [fit(line, width) for line in lines]


def _rule(name: str, width: int, rest: str = "") -> str:
    head = f"── {name} "
    return ink(head, "rule") + ink(rest, "dim") + ink("─" * (width - len(head) - len(rest)), "rule")


def _title(watch: Watch, width: int) -> str:
    total_s = watch.line.visits[-1].end_frame / watch.line.settings.fps
    share = (watch.index + 1) / watch.line.visits[-1].end_frame
    clock = f" {_clock(watch.t_s)} / {_clock(total_s)} "
    left = " plantflag demo   simulated line → MQTT → edge-daemon → SCADA "
    cells = width - len(left) - len(clock)
    return ink(left, "title") + ink("▕" + bar(share, max(1, cells - 2)) + "▏", "title") + ink(clock, "title")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def _part(watch: Watch) -> str:
    settings = watch.line.settings
    camera = f"{settings.fps:g} fps {settings.width}x{settings.height} JPEG"
    visit = watch.visit()
    if visit is None:
        return f" {ink('under the camera', 'dim')}  nothing yet   {ink(camera, 'dim')}"
    spec = visit.spec
    active = watch.active()
    truth = (
        ink("good part", "green") if not active else ink(" + ".join(i.fault.replace("_", " ") for i in active), "red")
    )
    what = f"{spec.material.replace('_', ' ')} {spec.part}"
    return (
        f" {ink('under the camera', 'dim')}  {what:<22} {ink('in truth', 'dim')}  {fit(truth, 18)} {ink(camera, 'dim')}"
    )


def _channels(watch: Watch, width: int) -> list[str]:
    heading = f"  {'truth':<6}{'channel':<18}{'verdict':<10}{'score against threshold':<{BAR_CELLS + 7}}{'quality':<11}{'latency':>10}   alarm"
    return [_rule("flags", width), ink(heading, "dim"), *(_channel(watch, plan) for plan in watch.channels)]


def _channel(watch: Watch, plan: ChannelPlan) -> str:
    flag = watch.flags.get(plan.id)
    present = any(injection.fault in plan.truth for injection in watch.active())
    mark = ink("●", "red") if present else ink("·", "dim")
    if flag is None:
        return f"    {mark}   {plan.title:<18}{ink('waiting', 'dim')}"
    colour = {Verdict.FAULT: "fault", Verdict.OK: "ok", Verdict.UNKNOWN: "unknown"}[flag.verdict]
    latency = "sensor" if flag.lat_ms is None else f"{watch_latency(watch, flag):.1f} ms"
    quality = ink(f"{flag.q.value:<11}", "dim" if flag.q.value == "good" else "yellow")
    alarm = watch.alarms.get(plan.id)
    state = ink(alarm.state, "yellow") if alarm is not None and alarm.state in STANDING else ""
    return f"    {mark}   {plan.title:<18}{ink(VERDICT_TEXT[flag.verdict], colour)}   {_score(watch, plan, flag)} {quality}{latency:>10}   {state}"


def watch_latency(watch: Watch, flag: Flag) -> float:
    """The latency of the frame that a flag refers to: of the last of its flags, ms."""
    judged = watch.judged.get(flag.frame_seq or 0)
    return judged.lat_ms if judged else flag.lat_ms or 0.0


def _score(watch: Watch, plan: ChannelPlan, flag: Flag) -> str:
    if flag.score is None:
        return ink("-".center(BAR_CELLS), "dim") + "      "
    filled = bar(flag.score, BAR_CELLS)
    colour = "red" if flag.verdict is Verdict.FAULT else "green"
    limit = threshold_of(watch, plan)
    if limit is None:
        return ink(filled, colour) + f" {flag.score:.2f} "
    at = min(BAR_CELLS - 1, int(limit * BAR_CELLS))
    return ink(filled[:at], colour) + ink("│", "bold") + ink(filled[at + 1 :], colour) + f" {flag.score:.2f} "


def threshold_of(watch: Watch, plan: ChannelPlan) -> float | None:
    """Where the joined score becomes a fault; None for sensors alone."""
    if plan.combine == "weighted":
        return plan.threshold
    info = next((channel for channel in watch.meta.channels if channel.id == plan.id), None) if watch.meta else None
    return info.threshold if info else None


def _sensors(watch: Watch, width: int) -> list[str]:
    cells = (width - 2) // 2
    shown = []
    for sensor in SENSORS:
        values = list(watch.readings.get(sensor.id, ()))
        now = f"{values[-1]:6.2f} {sensor.unit:<5}" if values else "     -      "
        room = cells - 31
        thinned = values[:: max(1, len(values) // room)][-room:] if room > 0 else []
        shown.append(
            f"  {sensor.title:<14}{now} {ink(fit(spark(thinned, sensor.low, sensor.high), max(0, room)), 'blue')}"
        )
    pairs = zip(shown[::2], shown[1::2], strict=True)
    return [_rule("sensors", width), *(fit(left, cells) + right for left, right in pairs)]


def _deadline(watch: Watch, width: int) -> list[str]:
    camera = watch.camera
    lines = [_rule("deadline ledger", width, "frame received → its last flag handed over ")]
    if camera is None:
        return [*lines, ink("  waiting for the first heartbeat", "dim"), "", ""]
    summary = camera.latency
    figures = "  ".join(
        f"{name} {_ms(value)}"
        for name, value in (("p50", summary.p50_ms), ("p99", summary.p99_ms), ("max", summary.max_ms))
    )
    room = width - 48
    recent = list(watch.recent_ms)[-room:]
    drops = ", ".join(f"{reason} {count}" for reason, count in camera.dropped.items() if count) or "none"
    sees = ink("blind", "red") if camera.blind_now and watch.sent else ink("seeing", "green")
    missed = ink(f"{camera.misses}", "red" if camera.misses else "green")
    return [
        *lines,
        f"  budget {camera.budget_ms:g} ms   {ink(fit(spark(recent, 0.0, camera.budget_ms), room), 'green')}  last second {camera.fps_out:.0f}/s",
        f"  {figures}   misses {missed}   {sees}   {ink(watch.heartbeat.realtime if watch.heartbeat else '', 'dim')}",
        f"  frames  {len(watch.sent)} sent = {camera.verdicts} judged + {sum(camera.dropped.values())} dropped ({drops}) as of the last heartbeat",
    ]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def _alarms(watch: Watch, width: int) -> list[str]:
    standing = [alarm for alarm in watch.alarms.values() if alarm.state in STANDING]
    standing.sort(key=lambda alarm: (STANDING.index(alarm.state), -alarm.severity))
    shown = [_alarm(alarm) for alarm in standing[:3]] or [ink("  none standing", "dim")]
    more = f"{len(standing) - 3} more " if len(standing) > 3 else ""
    return [_rule("alarms", width, more), *shown, *[""] * (3 - len(shown))]


def _alarm(alarm: Alarm) -> str:
    colour = {"UNACK_ALM": "fault", "ACK_ALM": "yellow", "RTN_UNACK": "dim"}[alarm.state]
    who = f"   acknowledged by {alarm.ack.user}" if alarm.ack.user else ""
    return f"  {ink(f' {alarm.state:<9} ', colour)}  {alarm.severity:>3}  {alarm.message}. {ink(alarm.operator_action + who, 'dim')}"


def _note(note: Note, width: int) -> str:
    return fit(
        f"  {ink(f'{note.t_s:5.1f} s', 'dim')}  {ink(f'{note.kind:<9}', NOTE_INK[note.kind])} {note.text}", width
    )


class Screen:
    """Shows the run on a stream: redrawn in place on a terminal that is large enough, else line by line as things happen."""

    def __init__(self, stream: TextIO, *, live: bool, columns: int, rows: int, colour: bool) -> None:
        self._stream = stream
        self._live = live and columns >= LEAST_COLUMNS and rows >= LEAST_ROWS
        self._columns, self._rows, self._colour = columns, rows, colour
        self._drawn = 0
        self._written = 0
        self._next_status_s = 5.0

    def show(self, watch: Watch) -> None:
        """Bring the screen up to date."""
        if self._live:
            self._redraw(draw(watch, columns=self._columns, rows=self._rows))
        else:
            self._write_notes(watch)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live:
            self._stream.write("\x1b[?25h\n")
            self._stream.flush()

    def _redraw(self, lines: Sequence[str]) -> None:
        if not self._colour:
            lines = [plain(line) for line in lines]
        up = f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""
        self._stream.write("\x1b[?25l" + up + "\r" + "\n".join(f"{line}\x1b[K" for line in lines))
        self._stream.flush()
        self._drawn = len(lines)

    def _write_notes(self, watch: Watch) -> None:
        for note in watch.notes[self._written :]:
            self._stream.write(f"{note.t_s:6.1f} s  {note.kind:<9} {note.text}\n")
        self._written = len(watch.notes)
        camera = watch.camera
        if camera is not None and watch.t_s >= self._next_status_s:
            self._next_status_s += 5.0
            drops = sum(camera.dropped.values())
            self._stream.write(
                f"{watch.t_s:6.1f} s  ledger    last second p50 {_ms(camera.latency.p50_ms)}, p99 {_ms(camera.latency.p99_ms)} of {camera.budget_ms:g} ms; "
                f"{camera.verdicts} judged, {drops} dropped, {camera.misses} missed\n"
            )
        self._stream.flush()

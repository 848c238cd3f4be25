"""The contract with the toolchain: the manifest of a bundle, and what must agree in it.

The reader owns the format, because the reader is what breaks in the field; `exporters` imports this module to write one. A bundle is a
directory; ``manifest.json`` is written last, so a directory without it is not a bundle. Unknown formats and unknown fields are rejected:
a skipped preprocessing field is a wrong answer. When the format number rises is in docs/bundle.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from edge.errors import ConfigError

FORMAT = 1

Identifier = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="lower-case id, safe in MQTT topics and file names")
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256, hexadecimal")]
MAX_NORMAL_SCORES = 256
MAX_SENSORS = 64  # of one window
MAX_LENGTH = 4096  # cells of a window
MAX_CELLS = 65_536  # of all its sensors: 256 KiB
Score = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False, description="0 = surely not, 1 = surely")]
Milliseconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class Record(BaseModel):
    """Base of all parts of the manifest: frozen, and a field that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


class ModelSource(Record):
    """Where the graph came from."""

    family: Identifier = Field(description="model family, e.g. siglip, siglip2, clip")
    checkpoint: str = Field(description="the checkpoint folder's name; informative")
    checkpoint_sha256: Sha256 = Field(description="over the checkpoint's weight and configuration files")
    licence: str = Field(description="licence of the weights as their card says it, or 'unknown'")
    parameters: int = Field(ge=0, description="number of parameters of the graph that runs on the device")


class Target(Record):
    """The board this bundle was made for, its facts copied in so that the device needs no board file."""

    board: Identifier = Field(description="name of the file in devices/")
    arch: str = Field(description="machine architecture as platform.machine() says it, e.g. x86_64, aarch64")
    isa_required: tuple[str, ...] = Field(
        default=(), description="CPU flags that must be present, as /proc/cpuinfo names them"
    )
    memory_mib: int = Field(gt=0, description="memory that the board declares, MiB")
    budget_ms: Milliseconds = Field(description="receipt of a frame's last byte to its flag handed over, ms")


class Execution(Record):
    """How the graph runs: the candidate that was measured best."""

    graph: str = Field(
        description="file of the ONNX graph inside the bundle; of a bundle that takes no frames: that of its first window"
    )
    provider: str = Field(description="ONNX Runtime execution provider, e.g. CPUExecutionProvider")
    intra_op_threads: int = Field(ge=1, le=256, description="threads inside one operator")
    scheme: str = Field(description="float32, dynamic-int8, static-int8 or decoder-int4")


class InputSpec(Record):
    """The tensor that the graph takes: uint8 [1, height, width, 3]; mean and standard deviation are applied in the graph."""

    name: str = Field(description="name of the graph's input")
    width: int = Field(gt=0, le=4096, description="px")
    height: int = Field(gt=0, le=4096, description="px")
    colour_order: Literal["rgb"] = Field(default="rgb", description="order of the last axis")
    resize: Literal["stretch", "centre_crop"] = Field(
        description="stretch both axes, or scale the short side and cut the middle"
    )
    normalisation: Literal["in_graph"] = Field(
        default="in_graph", description="where mean and standard deviation are applied"
    )


class NormalScores(Record):
    """What normal pictures scored that chose a threshold: what a running device compares its own scores with."""

    scores: tuple[Score, ...] = Field(
        min_length=1, max_length=MAX_NORMAL_SCORES, description="ascending; a sample if they were more"
    )
    independent: int = Field(gt=0, description="groups of pictures that they are of: a group counts once")

    @model_validator(mode="after")
    def _ascending(self) -> NormalScores:
        if list(self.scores) != sorted(self.scores):
            raise ValueError("normal scores are not in ascending order")
        return self


class Calibration(Record):
    """The evidence for one threshold, from the site's own images."""

    method: str = Field(description="how the threshold was chosen, e.g. normal-quantile")
    normal_images: int = Field(ge=0, description="images without the fault that were used")
    fault_images: int = Field(ge=0, description="images with the fault that were used")
    false_alarm_bound: float | None = Field(
        default=None, ge=0.0, le=1.0, description="share of normal frames that may be flagged, as asked for"
    )
    false_alarm_measured: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="share of normal frames flagged, on images not used to choose the threshold",
    )
    detection_measured: float | None = Field(
        default=None, ge=0.0, le=1.0, description="share of faulty frames flagged, likewise"
    )
    auroc: float | None = Field(default=None, ge=0.0, le=1.0, description="area under the ROC curve, likewise")
    images_sha256: Sha256 | None = Field(default=None, description="over the sorted hashes of the images used")
    normal: NormalScores | None = Field(
        default=None, description="scores of the normal images; None: an exporter before this field"
    )


class FaultSpec(Record):
    """One fault: the words asked, and when its score counts."""

    id: Identifier = Field(description="also its default flag channel")
    kind: Literal["named", "unnamed"] = Field(
        default="named", description="unnamed: whatever is unlike the normal pictures, fitted without any fault's"
    )
    window: Identifier | None = Field(
        default=None, description="the window of readings that its score comes from; None: frames"
    )
    title: str = Field(description="short name for people")
    words: tuple[str, ...] = Field(min_length=1, description="phrasings of the fault that were compiled in")
    normal_words: tuple[str, ...] = Field(
        default=(), description="phrasings of the normal state that it is contrasted with"
    )
    threshold: Score = Field(description="score at and above which the verdict turns to fault")
    release: Score = Field(
        description="score below which the verdict turns back to ok; between the two it stays (hysteresis)"
    )
    calibration: Calibration | None = Field(
        default=None, description="evidence for the threshold; None: not calibrated"
    )
    armed: bool = Field(description="only a fault calibrated on the site's own images may raise alarms")

    @model_validator(mode="after")
    def _consistent(self) -> FaultSpec:
        if self.release > self.threshold:
            raise ValueError(f"fault {self.id}: release {self.release} is above threshold {self.threshold}")
        if self.armed and self.calibration is None:
            raise ValueError(f"fault {self.id} is armed without calibration")
        return self


class Latency(Record):
    """A latency distribution in ms, with the machine it was measured on."""

    scope: Literal["infer", "frame"] = Field(description="infer: session.run alone; frame: encoded picture to scores")
    machine: str = Field(description="processor and cores, as the machine names itself")
    runs: int = Field(gt=0)
    p50_ms: Milliseconds
    p95_ms: Milliseconds
    p99_ms: Milliseconds
    max_ms: Milliseconds


class Parity(Record):
    """How the graph that runs differs from the float checkpoint."""

    images: int = Field(ge=0, description="frames compared")
    mean_abs: float = Field(ge=0.0, description="mean absolute difference of scores")
    max_abs: float = Field(ge=0.0, description="largest absolute difference of scores")
    flips: int = Field(ge=0, description="verdicts that differ")
    verdicts: int = Field(ge=0, description="verdicts compared: images x faults")
    flips_allowed: int = Field(ge=0, description="tolerance asked for")


class Candidate(Record):
    """One way to run the graph that was built and measured; the chosen one is the best that keeps the verdicts."""

    scheme: str
    provider: str | None = Field(
        default=None,
        description="ONNX Runtime execution provider; None: that of `execution`, where no other was measured",
    )
    intra_op_threads: int = Field(ge=1)
    size_bytes: int = Field(ge=0)
    latency: Latency
    parity: Parity
    chosen: bool
    verdict: str = Field(description="why it was chosen or passed over, in words with numbers")


class Golden(Record):
    """An encoded picture, or a window of readings, in the bundle with the scores that the graph must give for it."""

    file: str = Field(
        description="a picture as a camera sends it; of a window: float32, little-endian, [length, sensors], NaN in a cell without a value"
    )
    scores: tuple[float, ...] = Field(description="in the order of `faults`, of those that the graph judges")
    verdicts: dict[Identifier, Literal["ok", "fault"]] | None = Field(
        default=None,
        description="by fault id, what the device must make of this picture; a score nearer to its threshold than `golden_tolerance` is left out; "
        "None: an older bundle, whose verdicts follow from its scores",
    )


class WindowInput(Record):
    """Readings of several sensors on one grid of time: float32 NAME [1, length, sensors], and NAME_valid, which is 1 where a cell has a value.

    A cell without one is 0 in both. The graph of a window runs on the processor, with one thread.
    """

    name: Identifier = Field(description="name of the graph's input; NAME_valid is the other")
    graph: str = Field(description="file of its ONNX graph inside the bundle")
    output: str = Field(
        description="name of the graph's output: float32 [1, faults of this window], each in 0..1, in the order of `faults`"
    )
    sensors: tuple[Identifier, ...] = Field(
        min_length=1, max_length=MAX_SENSORS, description="ids of the site's sensors, in the order of the last axis"
    )
    period_ms: float = Field(gt=0.0, allow_inf_nan=False, le=86_400_000.0, description="length of a cell, ms")
    length: int = Field(ge=2, le=MAX_LENGTH, description="cells of each sensor")
    step: int = Field(ge=1, le=MAX_LENGTH, description="cells from one judgement to the next")
    aggregate: Literal["mean", "last", "rms"] = Field(description="what a cell holds of the values that fell into it")
    min_valid: float = Field(
        gt=0.0,
        le=1.0,
        description="share of the cells of each sensor that must have a value; with fewer nothing is known",
    )
    golden: tuple[Golden, ...] = Field(min_length=1, description="windows that the device must score as the proof says")

    @model_validator(mode="after")
    def _consistent(self) -> WindowInput:
        if len(set(self.sensors)) != len(self.sensors):
            raise ValueError(f"window {self.name}: sensors repeat: {list(self.sensors)}")
        if self.length * len(self.sensors) > MAX_CELLS:
            raise ValueError(f"window {self.name} has more than {MAX_CELLS} cells")
        return self


class Crosscheck(Record):
    """The float graph against the same checkpoint through another exporter, in an environment of its own."""

    versions: tuple[str, ...] = Field(
        min_length=1, description="of the other exporter and what it ran on, e.g. optimum 2.1.0"
    )
    pictures: int = Field(ge=1, description="pictures compared")
    faults: int = Field(ge=1, description="faults compared, each by its words")
    largest_difference: float = Field(ge=0.0, description="of evidence, which is unbounded: what becomes a score")
    spread: float = Field(ge=0.0, description="largest less least evidence, for comparison")


class Proof(Record):
    """What was measured, where; the daemon repeats the golden inputs and the warm-up timing on the device."""

    parity: Parity = Field(description="of the chosen graph")
    latency: tuple[Latency, ...]
    peak_rss_mib: float = Field(ge=0.0, description="of the process that measured, MiB")
    candidates: tuple[Candidate, ...]
    golden: tuple[Golden, ...] = Field(description="pictures; empty where the bundle takes no frames")
    golden_tolerance: float = Field(
        gt=0.0, le=0.2, description="largest allowed absolute difference of a score on the device"
    )
    proven_on_target: bool = Field(
        description="whether the measuring machine is the target board; False: latency is only indicative"
    )
    one_sided: tuple[Identifier, ...] | None = Field(
        default=None,
        description="armed faults of which no golden input is surely above the threshold and another surely below; None: an older bundle",
    )
    doubts: tuple[str, ...] = Field(
        default=(),
        description="why this proof does not count: over the budget, also on a busy machine; empty: it counts",
    )
    crosscheck: Crosscheck | None = Field(
        default=None, description="the comparison with another exporter; None: none was made"
    )


class Speech(Record):
    """The graphs by which a generative bundle puts a fault into words, in time left over; never needed to flag one."""

    begin: str = Field(
        description="file: uint8 frame -> float32 keys and values [layers, heads, tokens, width] of what all questions begin with"
    )
    follow: str = Field(
        description="file: int64 token [1] and place [1], keys, values [.., room, ..] -> best [1], sure [1], key, value [.., 1, ..]"
    )
    pieces: str = Field(description="file: JSON list, for each token a text whose characters are its bytes")
    room: int = Field(gt=0, le=65_536, description="tokens that the cache holds")
    tokens: int = Field(
        gt=0, description="longest sentence that it was made for, tokens; 1 for a model that answers with a word"
    )
    questions: tuple[tuple[int, ...], ...] = Field(
        description="tokens of the question about each fault, behind what all begin with; in the order of `faults`"
    )
    ends: tuple[int, ...] = Field(min_length=1, description="tokens that end a sentence")
    scheme: str = Field(description="float32 or dynamic-int8")
    compared: int = Field(ge=0, description="sentences compared with the float checkpoint's own")
    equal: int = Field(ge=0, description="of these: word for word the same")


class FileEntry(Record):
    """One file of the bundle."""

    path: str = Field(description="relative, forward slashes, no '..'")
    sha256: Sha256
    size_bytes: int = Field(ge=0)

    @model_validator(mode="after")
    def _inside(self) -> FileEntry:
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", self.path):
            raise ValueError(f"path {self.path!r} is not a plain relative path")
        return self


class Manifest(Record):
    """``manifest.json``: the whole contract of one bundle."""

    format: Literal[1] = Field(description="format number; this version reads 1")
    name: Identifier
    version: int = Field(
        ge=1,
        description="rises with every export of this name; the daemon refuses to go back unless the command allows it",
    )
    created: AwareDatetime
    tool: str = Field(description="program and version that wrote the bundle")
    source: ModelSource
    target: Target
    execution: Execution
    input: InputSpec | None = Field(default=None, description="the frame; None: the bundle judges readings only")
    output: str | None = Field(
        default=None,
        description="name of the graph's output: float32 [1, number of faults that frames show], each in 0..1; None: no frames",
    )
    faults: tuple[FaultSpec, ...] = Field(min_length=1)
    proof: Proof
    files: tuple[FileEntry, ...] = Field(min_length=1)
    windows: tuple[WindowInput, ...] = Field(default=(), max_length=16, description="windows of readings; empty: none")
    speech: Speech | None = Field(default=None, description="how faults are put into words; None: by a template")
    signature: str | None = Field(
        default=None,
        description="reserved: detached signature over the manifest without this field; a reader that cannot check it refuses the bundle",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        ids = [fault.id for fault in self.faults]
        if len(set(ids)) != len(ids):
            raise ValueError(f"fault ids repeat: {ids}")
        paths = [entry.path for entry in self.files]
        if len(set(paths)) != len(paths):
            raise ValueError("a file is listed twice")
        used = {self.execution.graph, *(golden.file for golden in self.proof.golden)}
        for window in self.windows:
            used |= {window.graph, *(golden.file for golden in window.golden)}
        if self.speech is not None:
            used |= {self.speech.begin, self.speech.follow, self.speech.pieces}
            if len(self.speech.questions) != len(self.frame_faults):
                raise ValueError(
                    f"speech has {len(self.speech.questions)} questions for {len(self.frame_faults)} faults"
                )
        missing = used - set(paths)
        if missing:
            raise ValueError(f"files are used but not listed: {sorted(missing)}")
        return self

    @model_validator(mode="after")
    def _inputs_agree(self) -> Manifest:
        """Every fault has an input, and every input has faults, a graph and golden inputs."""
        names = [window.name for window in self.windows]
        if len(set(names)) != len(names):
            raise ValueError(f"windows repeat: {names}")
        lost = [fault.id for fault in self.faults if fault.window is not None and fault.window not in names]
        if lost:
            raise ValueError(f"faults {lost} name a window that is not among {names}")
        idle = [name for name in names if not self.window_faults(name)]
        if idle:
            raise ValueError(f"windows {idle} have no fault")
        frames = (self.input is not None, self.output is not None, bool(self.frame_faults), bool(self.proof.golden))
        if len(set(frames)) != 1:
            raise ValueError("input, output, faults of frames and proof.golden go together: give all of them, or none")
        if self.input is None and self.execution.graph != self.windows[0].graph:
            raise ValueError("execution.graph is not that of the first window, and the bundle takes no frames")
        if self.input is None and self.speech is not None:
            raise ValueError("speech begins with a frame, and the bundle takes none")
        return self

    @model_validator(mode="after")
    def _verdicts_agree(self) -> Manifest:
        """What the golden inputs hold must follow from their scores and the thresholds: else one of the three was changed."""
        _refuse_other_verdicts(self.frame_faults, self.proof.golden)
        for window in self.windows:
            _refuse_other_verdicts(self.window_faults(window.name), window.golden)
        if self.proof.one_sided is not None and set(self.proof.one_sided) != set(self.one_sided()):
            raise ValueError(
                f"the golden inputs show {sorted(self.one_sided())} on one side of the threshold only, and the proof says {sorted(self.proof.one_sided)}"
            )
        return self

    @property
    def frame_faults(self) -> tuple[FaultSpec, ...]:
        """The faults that frames show, in the order of their scores."""
        return tuple(fault for fault in self.faults if fault.window is None)

    def window_faults(self, name: str) -> tuple[FaultSpec, ...]:
        """The faults that a window of readings shows, in the order of their scores."""
        return tuple(fault for fault in self.faults if fault.window == name)

    @property
    def frame_input(self) -> InputSpec:
        """The tensor of a frame.

        Raises:
            ConfigError: the bundle judges readings only.
        """
        if self.input is None:
            raise ConfigError(
                f"the bundle {self.name} judges readings only: no camera can be watched with it. Use a bundle of pictures"
            )
        return self.input

    @property
    def frame_output(self) -> str:
        """Name of the scores of a frame.

        Raises:
            ConfigError: the bundle judges readings only.
        """
        if self.output is None:
            raise ConfigError(f"the bundle {self.name} has no scores of frames. Use a bundle of pictures")
        return self.output

    def golden_verdicts(self) -> tuple[Mapping[str, str], ...]:
        """Of each golden input, by fault, the verdict that it must give on a device: what it holds, or what its scores make certain."""
        return tuple(self._verdicts_of(self.frame_faults, golden) for golden in self.proof.golden)

    def window_verdicts(self, window: WindowInput) -> tuple[Mapping[str, str], ...]:
        """The same of the golden inputs of a window."""
        return tuple(self._verdicts_of(self.window_faults(window.name), golden) for golden in window.golden)

    def _verdicts_of(self, faults: Sequence[FaultSpec], golden: Golden) -> Mapping[str, str]:
        if golden.verdicts is not None:
            return golden.verdicts
        return sure_verdicts(faults, golden.scores, self.proof.golden_tolerance)

    def one_sided(self) -> tuple[str, ...]:
        """The armed faults whose threshold no pair of golden inputs encloses: they could be moved unseen."""
        windows = [verdicts for window in self.windows for verdicts in self.window_verdicts(window)]
        return one_sided(self.faults, (*self.golden_verdicts(), *windows))

    def out_of_reach(self) -> tuple[str, ...]:
        """The armed faults whose threshold no score is known to reach."""
        tolerance = self.proof.golden_tolerance
        found = set(out_of_reach(self.frame_faults, self.proof.golden, tolerance))
        for window in self.windows:
            found |= set(out_of_reach(self.window_faults(window.name), window.golden, tolerance))
        return tuple(fault.id for fault in self.faults if fault.id in found)


def _refuse_other_verdicts(faults: Sequence[FaultSpec], goldens: Sequence[Golden]) -> None:
    known = {fault.id: (place, fault.threshold) for place, fault in enumerate(faults)}
    for golden in goldens:
        if len(golden.scores) != len(faults):
            raise ValueError(f"golden input {golden.file} has {len(golden.scores)} scores for {len(faults)} faults")
        for fault, verdict in (golden.verdicts or {}).items():
            if fault not in known:
                raise ValueError(
                    f"golden input {golden.file} has a verdict on {fault}, which is no fault of this bundle"
                )
            place, threshold = known[fault]
            if (golden.scores[place] >= threshold) != (verdict == "fault"):
                raise ValueError(
                    f"golden input {golden.file} scores {golden.scores[place]:.4f} for {fault}, which is no {verdict} at threshold {threshold:g}"
                )


def sure_verdicts(
    faults: Sequence[FaultSpec], scores: Sequence[float], tolerance: float
) -> dict[str, Literal["ok", "fault"]]:
    """The verdicts on one picture that hold on every device: a score within the tolerance of its threshold gives none."""
    return {
        fault.id: "fault" if score >= fault.threshold else "ok"
        for fault, score in zip(faults, scores, strict=True)
        if abs(score - fault.threshold) > tolerance
    }


def one_sided(faults: Sequence[FaultSpec], verdicts: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """The armed faults that no picture is surely a fault for, or none surely ok, by the pictures' verdicts."""
    shown = {(fault, verdict) for picture in verdicts for fault, verdict in picture.items()}
    return tuple(fault.id for fault in faults if fault.armed and not {(fault.id, "ok"), (fault.id, "fault")} <= shown)


def _unused(fault: FaultSpec) -> dict[str, Any]:
    """The fields of a fault that came after the first readers and are not used."""
    left: dict[str, Any] = {"kind": True} if fault.kind == "named" else {}
    if fault.window is None:
        left["window"] = True
    if fault.calibration is not None and fault.calibration.normal is None:
        left["calibration"] = {"normal"}
    return left


def out_of_reach(faults: Sequence[FaultSpec], goldens: Sequence[Golden], tolerance: float) -> tuple[str, ...]:
    """The armed faults whose threshold is too near to 1 for a golden input to stand surely above it, and reached by none.

    Args:
        faults: of one graph, in the order of its scores.
        goldens: its golden inputs.
        tolerance: `golden_tolerance` of the proof.
    """
    highest = map(max, zip(*(golden.scores for golden in goldens), strict=True))
    return tuple(
        fault.id
        for fault, most in zip(faults, highest, strict=True)
        if fault.armed and most < fault.threshold and fault.threshold + tolerance > 1.0
    )


def manifest_json(manifest: Manifest) -> bytes:
    """The bytes of ``manifest.json``; what came after the first readers of this format is left out where it is not used."""
    proof = manifest.proof
    faults = {row: left for row, fault in enumerate(manifest.faults) if (left := _unused(fault))}
    unused: dict[str, Any] = {"faults": faults} if faults else {}
    unused |= {
        name: True
        for name, used in (
            ("speech", manifest.speech),
            ("windows", manifest.windows),
            ("input", manifest.input),
            ("output", manifest.output),
        )
        if not used
    }
    later: dict[str, Any] = {
        name: True
        for name, value in (
            ("one_sided", proof.one_sided),
            ("doubts", proof.doubts or None),
            ("crosscheck", proof.crosscheck),
        )
        if value is None
    }
    if all(golden.verdicts is None for golden in proof.golden):
        later["golden"] = {"__all__": {"verdicts"}}
    if all(candidate.provider is None for candidate in proof.candidates):
        later["candidates"] = {"__all__": {"provider"}}
    return manifest.model_dump_json(indent=1, exclude=unused | {"proof": later}).encode() + b"\n"


def manifest_schema() -> dict[str, Any]:
    """JSON Schema of the manifest, for readers other than this project's."""
    return Manifest.model_json_schema()

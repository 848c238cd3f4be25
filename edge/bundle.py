"""The contract with the toolchain: what a bundle directory contains, and how one is opened.

The reader owns the format, because the reader is what breaks in the field; `exporters` imports this module to write one. A bundle is a
directory; ``manifest.json`` is written last, so a directory without it is not a bundle. Unknown formats and unknown fields are refused:
a skipped preprocessing field is a wrong answer. Fields never change their meaning; a new meaning is a new format number.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.errors import FormatError, HashMismatch

FORMAT = 1
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 4_000_000  # a manifest is text about a model, not the model

Identifier = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="lower-case id, safe in MQTT topics and file names")
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256, hexadecimal")]
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

    graph: str = Field(description="file of the ONNX graph inside the bundle")
    provider: str = Field(description="ONNX Runtime execution provider, e.g. CPUExecutionProvider")
    intra_op_threads: int = Field(ge=1, description="threads inside one operator")
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


class FaultSpec(Record):
    """One fault: the words asked, and when its score counts."""

    id: Identifier = Field(description="also its default flag channel")
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
    intra_op_threads: int = Field(ge=1)
    size_bytes: int = Field(ge=0)
    latency: Latency
    parity: Parity
    chosen: bool
    verdict: str = Field(description="why it was chosen or passed over, in words with numbers")


class Golden(Record):
    """An encoded picture in the bundle with the scores that this graph must give for it."""

    file: str
    scores: tuple[float, ...] = Field(description="in the order of `faults`")


class Proof(Record):
    """What was measured, where; the daemon repeats the golden inputs and the warm-up timing on the device."""

    parity: Parity = Field(description="of the chosen graph")
    latency: tuple[Latency, ...]
    peak_rss_mib: float = Field(ge=0.0, description="of the process that measured, MiB")
    candidates: tuple[Candidate, ...]
    golden: tuple[Golden, ...] = Field(min_length=1)
    golden_tolerance: float = Field(
        gt=0.0, le=0.2, description="largest allowed absolute difference of a score on the device"
    )
    proven_on_target: bool = Field(
        description="whether the measuring machine is the target board; False: latency is only indicative"
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
        ge=1, description="rises with every export of this name; the daemon refuses to go back unless told to"
    )
    created: AwareDatetime
    tool: str = Field(description="program and version that wrote the bundle")
    source: ModelSource
    target: Target
    execution: Execution
    input: InputSpec
    output: str = Field(description="name of the graph's output: float32 [1, number of faults], each in 0..1")
    faults: tuple[FaultSpec, ...] = Field(min_length=1)
    proof: Proof
    files: tuple[FileEntry, ...] = Field(min_length=1)
    speech: Speech | None = Field(default=None, description="how faults are put into words; None: by a template")
    signature: str | None = Field(
        default=None, description="reserved: detached signature over the manifest without this field"
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
        if self.speech is not None:
            used |= {self.speech.begin, self.speech.follow, self.speech.pieces}
            if len(self.speech.questions) != len(ids):
                raise ValueError(f"speech has {len(self.speech.questions)} questions for {len(ids)} faults")
        missing = used - set(paths)
        if missing:
            raise ValueError(f"files are used but not listed: {sorted(missing)}")
        for golden in self.proof.golden:
            if len(golden.scores) != len(ids):
                raise ValueError(f"golden input {golden.file} has {len(golden.scores)} scores for {len(ids)} faults")
        return self


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle: its folder, its manifest, and the manifest's own SHA-256 (the bundle's identity)."""

    path: Path
    manifest: Manifest
    sha256: str

    @property
    def graph(self) -> Path:
        """The ONNX file to run."""
        return self.path / self.manifest.execution.graph


def open_bundle(path: Path) -> Bundle:
    """Open a bundle and check every file against its hash, before anything parses one.

    Raises:
        FormatError: no manifest, or one that is malformed, of another format, or with an unknown field.
        HashMismatch: a listed file is missing, changed or a link, or a file is there that is not listed.
    """
    manifest, digest = _read_manifest(path)
    listed = {entry.path: entry for entry in manifest.files}
    present = {item.relative_to(path).as_posix() for item in path.rglob("*") if item.is_symlink() or not item.is_dir()}
    extra = present - set(listed) - {MANIFEST}
    if extra:
        raise HashMismatch(
            f"{path}: files that the manifest does not list: {sorted(extra)[:5]}. Export or copy the bundle again."
        )
    for entry in manifest.files:
        _check_file(path, entry)
    return Bundle(path=path, manifest=manifest, sha256=digest)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def manifest_json(manifest: Manifest) -> bytes:
    """The bytes of ``manifest.json``; what came after the first readers of this format is left out where it is not used."""
    unused = {"speech"} if manifest.speech is None else None
    return manifest.model_dump_json(indent=1, exclude=unused).encode() + b"\n"


def manifest_schema() -> dict[str, Any]:
    """JSON Schema of the manifest, for readers that are not ours."""
    return Manifest.model_json_schema()


def _read_manifest(path: Path) -> tuple[Manifest, str]:
    file = path / MANIFEST
    if not file.is_file() or file.is_symlink():
        raise FormatError(f"{path} has no {MANIFEST}: it is not a bundle, or its export did not finish.")
    if file.stat().st_size > MAX_MANIFEST_BYTES:
        raise FormatError(f"{file} is larger than {MAX_MANIFEST_BYTES} bytes.")
    raw = file.read_bytes()
    try:
        document = json.loads(raw, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{file} is not JSON: {error}") from error
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise FormatError(
            f"{file} has format {found!r}; this version reads format {FORMAT}. Update the daemon or export again."
        )
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:5])
        raise FormatError(f"{file}: {problems}") from error
    return manifest, hashlib.sha256(raw).hexdigest()


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _check_file(path: Path, entry: FileEntry) -> None:
    file = path / entry.path
    if not file.is_file() or file.is_symlink():
        raise HashMismatch(f"{path}: {entry.path} is missing. Copy the bundle again.")
    if file.stat().st_size != entry.size_bytes:
        raise HashMismatch(
            f"{path}: {entry.path} has {file.stat().st_size} bytes, the manifest says {entry.size_bytes}. Copy the bundle again."
        )
    if file_sha256(file) != entry.sha256:
        raise HashMismatch(
            f"{path}: {entry.path} does not match its hash; it was changed or damaged. Copy the bundle again."
        )

"""A board profile read from devices/: its declared facts, and whether this machine is that board."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from edge.errors import ConfigError
from edge.manifest import Identifier
from edge.parsing.toml_file import Section, read_record
from edge.system.board import MachineFacts, least_memory_mib, machine_facts

CPU = "CPUExecutionProvider"  # of ONNX Runtime; always there, and it has attention as one operator
_HERE = Path(__file__).resolve().parent
_FOLDERS = (_HERE.parent / "devices", _HERE / "_devices")  # the source tree, or what the wheel carries


PROVIDERS = frozenset(  # of ONNX Runtime, each with `ExecutionProvider` behind it
    f"{name}ExecutionProvider"
    for name in (
        "ACL", "ArmNN", "Azure", "CANN", "CPU", "CUDA", "CoreML", "Dml", "Dnnl", "JS", "MIGraphX", "NvTensorRTRTX", "Nnapi", "OpenVINO", "QNN",
        "ROCM", "Rknpu", "SNPE", "Tensorrt", "VSINPU", "VitisAI", "WebGpu", "Xnnpack",
    )
)  # fmt: skip
FLAGS: Mapping[
    str, frozenset[str]
] = {  # by architecture: what speeds up a graph, as /proc/cpuinfo names it; a board needs no others
    "x86_64": frozenset(
        [
            "sse",
            "sse2",
            "ssse3",
            "sse4_1",
            "sse4_2",
            "avx",
            "avx2",
            "fma",
            "f16c",
            "bmi1",
            "bmi2",
            "popcnt",
            "avx_vnni",
            "avx_vnni_int8",
            "avx_ne_convert",
            "avx_ifma",
            "avx512f",
            "avx512bw",
            "avx512cd",
            "avx512dq",
            "avx512vl",
            "avx512_vnni",
            "avx512_bf16",
            "avx512_fp16",
            "avx512vbmi",
            "avx512_vbmi2",
            "avx512ifma",
            "avx512_bitalg",
            "avx512_vpopcntdq",
            "amx_tile",
            "amx_int8",
            "amx_bf16",
            "amx_fp16",
            "avx10",
        ]
    ),
    "aarch64": frozenset(
        [
            "fp",
            "asimd",
            "asimdhp",
            "asimdrdm",
            "asimddp",
            "asimdfhm",
            "fphp",
            "atomics",
            "crc32",
            "aes",
            "sha1",
            "sha2",
            "sha3",
            "sve",
            "sve2",
            "svei8mm",
            "svef32mm",
            "svef64mm",
            "svebf16",
            "i8mm",
            "bf16",
            "sme",
            "sme2",
            "jscvt",
            "fcma",
            "lrcpc",
            "dcpop",
            "uscat",
            "ilrcpc",
            "flagm",
        ]
    ),
    "armv7l": frozenset(["neon", "vfp", "vfpv3", "vfpv4", "vfpd32", "idiva", "idivt", "half", "thumb", "edsp"]),
    "riscv64": frozenset(),
}


class Match(Section):
    """How a machine shows that it is this board, beside architecture and CPU flags; empty: those suffice."""

    device_tree: str | None = Field(default=None, description="regular expression for /proc/device-tree/model")
    cpu_model: str | None = Field(default=None, description="regular expression for the processor's model name")
    isa_absent: tuple[str, ...] = Field(
        default=(), description="CPU flags that the board lacks: a machine that has one is faster than the board"
    )

    @field_validator("device_tree", "cpu_model")
    @classmethod
    def _pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        return pattern


class Throughput(Section):
    """Sustained matrix products of one core, for `plan` only; measured figures replace them at build."""

    fp32_gflops: float = Field(gt=0, description="float32, GFLOP/s")
    int8_gops: float = Field(gt=0, description="int8, GOP/s")
    basis: str = Field(description="where the two figures come from")


class Source(Section):
    """Where a fact comes from."""

    fact: str = Field(description="what is claimed")
    url: str = Field(description="page, data sheet or measurement that confirms it")


class Device(Section):
    """One board."""

    title: str = Field(description="name for people")
    arch: str = Field(description="machine architecture as platform.machine() returns it")
    isa_required: tuple[str, ...] = Field(default=(), description="CPU flags as /proc/cpuinfo names them")
    cores: int = Field(ge=1, description="cores, number")
    memory_mib: int = Field(gt=0, description="memory, MiB")
    providers: tuple[str, ...] = Field(min_length=1, description="execution providers, best first")
    schemes: tuple[Literal["float32", "dynamic-int8", "static-int8"], ...] = Field(
        min_length=1, description="quantization schemes worth trying"
    )
    threads: tuple[int, ...] = Field(min_length=1, description="thread counts worth trying, number")
    reduce_range: bool = Field(description="7-bit weights: needed where u8 x s8 products saturate (x86 without VNNI)")
    budget_ms: float = Field(gt=0, description="default latency budget, ms")
    throughput: Throughput = Field(description="for plan's estimate")
    match: Match = Field(default=Match(), description="how a machine shows that it is this board")
    sources: tuple[Source, ...] = Field(min_length=1, description="where the facts come from")
    notes: str = Field(default="", description="what else to know")

    @model_validator(mode="after")
    def _possible(self) -> Device:
        """What no machine can have is a slip of the pen, and would make a bundle that runs nowhere."""
        if max(self.threads) > self.cores or min(self.threads) < 1:
            raise ValueError(
                f"threads {list(self.threads)} do not fit {self.cores} cores: each must be 1 to {self.cores}"
            )
        known = FLAGS.get(self.arch, frozenset()) | machine_facts().cpu_flags
        for key, given, names in (
            ("arch", (self.arch,), FLAGS.keys()),
            ("providers", self.providers, PROVIDERS),
            ("isa_required", self.isa_required, known),
            ("match.isa_absent", self.match.isa_absent, known),
        ):
            for name in given:
                if name not in names:
                    raise ValueError(f"{key}: {name!r} is not known{_meant(name, names)}")
        return self


def device_folder() -> Path:
    """The folder of board files. Raises ConfigError if neither the source tree nor the wheel has one."""
    for folder in _FOLDERS:
        if folder.is_dir() and any(folder.glob("*.toml")):
            return folder
    raise ConfigError("no board files found: neither devices/ of the source tree nor exporters/_devices is there.")


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


def board_names() -> list[str]:
    """All boards, sorted: a file makes a board."""
    return sorted(path.stem for path in device_folder().glob("*.toml"))


def load_device(board: str) -> tuple[str, Device]:
    """A board by name, or from a ``.toml`` file of one's own: (name, facts).

    Raises:
        ConfigError: no such board, or its file or the file's name is wrong.
    """
    path = Path(board) if board.endswith(".toml") else device_folder() / f"{board}.toml"
    if not path.is_file():
        raise ConfigError(f"no board {board!r}. Known: {', '.join(board_names())}; or give a .toml file.")
    try:
        TypeAdapter(Identifier).validate_python(path.stem)
    except ValidationError as error:
        raise ConfigError(
            f"{path}: the file's name names the board in the bundle; rename it in small letters, digits, - and _, e.g. my-board.toml."
        ) from error
    return path.stem, read_record(path, Device)


def mismatches(device: Device, machine: MachineFacts) -> list[str]:
    """Why this machine is not that board, in words; empty when it is."""
    reasons = []
    if device.arch != machine.arch:
        reasons.append(f"architecture is {machine.arch}, the board has {device.arch}")
    missing = [flag for flag in device.isa_required if flag not in machine.cpu_flags]
    if missing:
        reasons.append(f"CPU flags missing: {', '.join(missing)}")
    faster = [flag for flag in device.match.isa_absent if flag in machine.cpu_flags]
    if faster:
        reasons.append(f"CPU flags that the board lacks, and int8 is faster with: {', '.join(faster)}")
    if machine.cores < device.cores:
        reasons.append(f"cores are {machine.cores}, the board has {device.cores}")
    if machine.memory_mib < least_memory_mib(device.memory_mib):
        reasons.append(f"memory is {machine.memory_mib} MiB, the board has {device.memory_mib}")
    if device.match.cpu_model is not None and not re.search(device.match.cpu_model, machine.cpu):
        reasons.append(f"processor {machine.cpu!r} does not match {device.match.cpu_model!r}")
    if device.match.device_tree is not None and not re.search(device.match.device_tree, device_tree_model()):
        reasons.append(f"device-tree model {device_tree_model()!r} does not match {device.match.device_tree!r}")
    return reasons


def device_tree_model(path: Path = Path("/proc/device-tree/model")) -> str:
    """What the firmware calls this board; empty where there is no device tree."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\x00\n ")
    except OSError:
        return ""

"""A command on a machine of its own: nothing but loopback, an empty home folder, and every packet and every written file noted.

The network is a namespace whose routes all end on loopback: whoever calls any address is seen there, and nobody is reached. The disk is an overlay:
what the command writes anywhere but in its working folder lies in the overlay's upper layer afterwards.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HOME = "/home/visitor"
RESOLVER = "127.0.0.53"
"""Every name is asked for here. Nobody answers, but the question is a packet that is seen."""
HOSTILE = {"ORT_DISABLE_TELEMETRY": "0", "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "0"}
"""An environment that asks for everything that the product forbids. Without it, a child would inherit the word of a test that imported us."""
_SITE = {
    "etc/resolv.conf": f"nameserver {RESOLVER}\noptions timeout:1 attempts:1\n",
    "etc/nsswitch.conf": "hosts: files dns\n",  # no name service over a local socket, which no packet would show
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
_ROUTES = (  # "local": every address is this machine, so a call is seen on loopback and refused at once
    "link set lo up",
    "route add local default dev lo",
    "-6 route add local default dev lo",
)
# Its mounts are private by default: nothing that is mounted in there is seen out here.
_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child")
_PROBE = """
set -e
ip link set lo up
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
"""
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_SO_RCVBUFFORCE = 33  # of Linux; the socket module names neither this nor the next
_PACKET_STATISTICS = (263, 6)  # SOL_PACKET and its option
_BUFFER_BYTES = 64 * 2**20
_SNAP_BYTES = 128  # headers are enough
_EVERY_PROTOCOL, _IPV4, _IPV6 = 0x0003, 0x0800, 0x86DD
_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_SYN, _ACK = 0x02, 0x10


@dataclass(frozen=True, slots=True)
class Run:
    """What a command did.

    Attributes:
        status: its exit status.
        output: what it printed, both streams.
        servers: whom packets were for, ``tcp 127.0.0.1:1883``; answers belong to the server that was called.
        packets: number of packets, answers too.
        written: files that it made, changed or removed outside its working folder, and folders that it made, absolute paths.
        left: what it left in its folder for temporary files, names.
    """

    status: int
    output: str
    servers: tuple[str, ...]
    packets: int
    written: tuple[str, ...]
    left: tuple[str, ...]

    def names_asked(self) -> bool:
        """Whether a name server was called, whoever it was."""
        return any(server.endswith(":53") for server in self.servers)


def run(
    command: Sequence[str],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    linger_s: float = 0.0,
    timeout_s: float = 120.0,
) -> Run:
    """Run a command alone, in a working folder, with little more than PATH and HOME in its environment.

    Args:
        command: its program and arguments.
        folder: working folder, absolute; holds the temporary files, too.
        environment: further variables.
        linger_s: how long packets are still looked for when it has ended, s.
        timeout_s: after this the whole namespace is killed, s.

    Raises:
        subprocess.SubprocessError: it did not end in time, or the machine could not be made.
    """
    order = {
        "command": list(command),
        "folder": str(folder),
        "environment": dict(environment or {}),
        "linger_s": linger_s,
    }
    with tempfile.TemporaryDirectory(prefix="isolation-") as name:
        # Made and removed out here: in there the scratch folder holds mounts of real folders, and nothing in there ever removes a tree.
        scratch, report = Path(name) / "scratch", Path(name) / "report.json"
        scratch.mkdir()
        outer = [
            *_UNSHARE,
            "--",
            sys.executable,
            "-m",
            "tests.stand.isolation",
            json.dumps(order),
            str(scratch),
            str(report),
        ]
        process = subprocess.Popen(
            outer, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        try:
            said, _ = process.communicate(timeout=timeout_s)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            raise subprocess.SubprocessError(f"no machine of its own could be made: {said}")
        found = json.loads(report.read_text(encoding="utf-8"))
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return Run(**fields)


def program(name: str) -> str | None:
    """Where a program is, the system's own folders included, or None."""
    return shutil.which(name, path=PATH)


def has_ipv6() -> bool:
    """Whether this kernel knows IPv6."""
    return Path("/proc/sys/net/ipv6").exists()


@functools.cache
def obstacle() -> str | None:
    """Why no such machine can be made here, or None."""
    if os.geteuid() != 0:
        return "a network namespace and an overlay need root"
    for name, package in {"unshare": "util-linux", "ip": "iproute2"}.items():
        if program(name) is None:
            return f"{name} is not installed: `apt-get install {package}`"
    with tempfile.TemporaryDirectory() as name:
        probe = [*_UNSHARE, "--", "sh", "-c", _PROBE, "probe", name]
        done = subprocess.run(probe, capture_output=True, text=True, env={"PATH": PATH}, check=False)
    return None if done.returncode == 0 else f"no namespaces or overlays here: {done.stderr.strip()}"


class Witness:
    """Notes every packet on loopback, from its making to `close`."""

    def __init__(self) -> None:
        self.servers: dict[str, None] = {}  # in the order in which they were called
        self.packets = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERY_PROTOCOL))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.bind(("lo", 0))
        self._socket.settimeout(0.2)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while True:
            try:
                data, (_, kind, direction, *_) = self._socket.recvfrom(_SNAP_BYTES)
            except TimeoutError:
                if self._ended.is_set():
                    return
                continue
            if direction == socket.PACKET_OUTGOING:  # each packet is on loopback twice
                self.packets += 1
                self._note(kind, data)

    def _note(self, kind: int, data: bytes) -> None:
        protocol, source, target, body = _addresses(kind, data)
        if protocol in (_TCP, _UDP):
            word = "tcp" if protocol == _TCP else "udp"
            ports = int.from_bytes(body[:2]), int.from_bytes(body[2:4])
            caller, called = (f"{word} {address}:{port}" for address, port in zip((source, target), ports, strict=True))
            opens = protocol == _TCP and body[13] & (_SYN | _ACK) == _SYN
            if opens or not {caller, called} & self.servers.keys():
                self.servers[called] = None
        elif not (protocol == _ICMP and body[0] == 3) and not (
            protocol == _ICMPV6 and body[0] == 1
        ):  # "unreachable" answers
            self.servers[f"protocol {protocol} {target}"] = None

    def close(self) -> None:
        """Take in what is left; raises RuntimeError when packets went by unseen."""
        self._ended.set()
        self._thread.join()
        _, lost = struct.unpack("II", self._socket.getsockopt(*_PACKET_STATISTICS, 8))
        self._socket.close()
        if lost:
            raise RuntimeError(f"{lost} packets went by unseen")


def _addresses(kind: int, data: bytes) -> tuple[int, str, str, bytes]:
    """Protocol, source, target and what follows the header; a protocol beside IP is its number on the wire, from nobody to nobody."""
    if kind == _IPV4:
        source, target = (str(ipaddress.IPv4Address(data[at : at + 4])) for at in (12, 16))
        return data[9], source, target, data[(data[0] & 15) * 4 :]
    if kind == _IPV6:
        source, target = (f"[{ipaddress.IPv6Address(data[at : at + 16])}]" for at in (8, 24))
        return data[6], source, target, data[40:]
    return kind, "", "", b""


class Disk:
    """The whole file system under an overlay, at `root`: what is written lies in upper layers.

    Args:
        scratch: an empty folder, on which a file system in memory is mounted.
        folder: stays the real one: writing there is allowed.
    """

    def __init__(self, scratch: Path, folder: Path) -> None:
        self.root = scratch / "root"
        self._layers: dict[Path, Path] = {}  # where it is mounted -> upper layer
        _mount("-t", "tmpfs", "tmpfs", str(scratch))
        site = scratch / "site"
        (site / HOME.lstrip("/")).mkdir(parents=True)
        (site / "etc").mkdir()
        for name, text in _SITE.items():
            (site / name).write_text(text, encoding="utf-8")
        self._layer(Path("/"), f"{site}:/", scratch)
        for place in _other_disks(folder):
            self._layer(place, str(place), scratch)
        inside = str(self.root)
        _mount("--rbind", "/dev", f"{inside}/dev")
        _mount("-t", "proc", "proc", f"{inside}/proc")
        _mount("--bind", str(folder), f"{inside}{folder}")

    def _layer(self, place: Path, lower: str, scratch: Path) -> None:
        number = len(self._layers)
        upper, work = scratch / f"upper{number}", scratch / f"work{number}"
        for made in (upper, work, self.root):
            made.mkdir(exist_ok=True)
        self._layers[place] = upper
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        _mount("-t", "overlay", "overlay", "-o", options, f"{self.root}{place}")

    def written(self) -> Iterator[str]:
        """Every file that was made, changed or removed, and every folder that was made."""
        for place, upper in self._layers.items():
            for path in upper.rglob("*"):
                real = place / path.relative_to(upper)
                if not path.is_dir() or not (real.exists() or str(real) == HOME):
                    yield str(real)


def _other_disks(folder: Path) -> list[Path]:
    """Mount points, outermost first, on which the interpreter, this repository or the working folder lie, beside ``/``."""
    needed = [ROOT, folder, Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve()]
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    places = {Path(line.split()[1].replace("\\040", " ")) for line in lines} - {Path("/")}
    return sorted(place for place in places if place.is_dir() and any(path.is_relative_to(place) for path in needed))


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _inside(order: Mapping[str, Any], scratch: Path, report: Path) -> None:
    """First process of the namespaces: make network and disk, run the command in them, write down what it did."""
    for route in _ROUTES if has_ipv6() else _ROUTES[:-1]:
        subprocess.run(["ip", *route.split()], check=True, env={"PATH": PATH})
    folder = Path(order["folder"])
    disk = Disk(scratch, folder)
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = {
        "PATH": PATH,
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "TMPDIR": str(temporary),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    witness = Witness()
    done = subprocess.run(
        ["chroot", str(disk.root), "env", "-C", str(folder), *order["command"]],
        env=environment | order["environment"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    time.sleep(order["linger_s"])
    witness.close()
    found = Run(
        status=done.returncode,
        output=done.stdout,
        servers=tuple(witness.servers),
        packets=witness.packets,
        written=tuple(sorted(disk.written())),
        left=tuple(sorted(path.name for path in temporary.iterdir())),
    )
    report.write_text(json.dumps(asdict(found)), encoding="utf-8")


if __name__ == "__main__":
    _inside(json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))

"""A bundle opens when every file is what its manifest lists, and the manifest is fully understood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.bundle import MANIFEST, MANIFEST_BOUNDS, open_bundle
from edge.errors import BundleError, FormatError, HashMismatch
from tests.stand.bundles import speech_section, write_bundle

FILES = {"graph.onnx": b"graph", "golden/0.jpg": b"picture"}


def edited(folder: Path, change: Any) -> None:
    """Rewrite the manifest on disk after `change` edited its document."""
    document = json.loads((folder / MANIFEST).read_text())
    change(document)
    (folder / MANIFEST).write_text(json.dumps(document))


def test_a_written_bundle_opens(tmp_path: Path) -> None:
    """What the writer wrote, the reader reads back equal."""
    manifest = write_bundle(tmp_path)
    bundle = open_bundle(tmp_path)
    assert bundle.manifest == manifest
    assert bundle.graph == tmp_path / "graph.onnx"
    assert len(bundle.sha256) == 64


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    """One flipped bit anywhere in a listed file refuses the bundle."""
    write_bundle(tmp_path)
    for name in ("graph.onnx", "golden/0.jpg"):
        original = (tmp_path / name).read_bytes()
        for position in range(len(original)):
            damaged = bytearray(original)
            damaged[position] ^= 1 << (position % 8)
            (tmp_path / name).write_bytes(damaged)
            with pytest.raises(HashMismatch, match=name):
                open_bundle(tmp_path)
        (tmp_path / name).write_bytes(original)
    open_bundle(tmp_path)


def test_no_manifest_is_no_bundle(tmp_path: Path) -> None:
    """The manifest is written last, so a folder without one is an unfinished export."""
    write_bundle(tmp_path)
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(FormatError, match="did not finish"):
        open_bundle(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda document: document.pop("format"), id="no format"),
        pytest.param(lambda document: document["faults"][0].update(threshold=1.5), id="threshold outside 0..1"),
        pytest.param(lambda document: document["faults"][0].update(release=0.9), id="release above threshold"),
        pytest.param(lambda document: document["faults"][0].update(calibration=None), id="armed without calibration"),
        pytest.param(lambda document: document["faults"][1].update(id="crack"), id="fault id twice"),
        pytest.param(
            lambda document: document["faults"][0]["calibration"].update(
                normal={"scores": [0.2, 0.1], "independent": 2}
            ),
            id="normal scores out of order",
        ),
        pytest.param(
            lambda document: document["proof"]["golden"][0].update(scores=[0.1]), id="golden scores of the wrong length"
        ),
        pytest.param(lambda document: document["proof"].update(golden=[]), id="no golden input"),
        pytest.param(lambda document: document["files"][0].update(path="../graph.onnx"), id="path leaves the folder"),
        pytest.param(lambda document: document["files"][0].update(path="/etc/passwd"), id="absolute path"),
        pytest.param(lambda document: document["execution"].update(graph="other.onnx"), id="graph not listed"),
        pytest.param(lambda document: document["files"].append(document["files"][0]), id="file listed twice"),
        pytest.param(
            lambda document: document.update(speech=speech_section(3)), id="questions of another list of faults"
        ),
        pytest.param(lambda document: document.update(created="2026-11-23T10:00:00"), id="time without zone"),
    ],
)
def test_a_manifest_that_is_not_understood_is_refused(tmp_path: Path, change: Any) -> None:
    """Contradictions refuse the bundle with a message."""
    write_bundle(tmp_path)
    edited(tmp_path, change)
    with pytest.raises(FormatError):
        open_bundle(tmp_path)


@pytest.mark.parametrize(
    ("found", "said"), [(2, "2"), (0, "0"), (None, "None"), ("1", "1"), (True, "True"), (1.0, "1.0"), ([1], r"\[1\]")]
)
def test_another_format_is_rejected_whatever_else_it_holds(tmp_path: Path, found: Any, said: str) -> None:
    """A daemon cannot guess what a number means that it does not know; it says which one it reads, and what to do."""
    write_bundle(tmp_path)
    edited(tmp_path, lambda document: document.update(format=found, faults="told otherwise"))
    with pytest.raises(
        FormatError, match=rf"has format {said}; this version reads format 1\. Update the daemon or export"
    ):
        open_bundle(tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda document: document.update(regions=[]), "regions: is no key that is known here"),
        (lambda document: document["input"].update(gamma=2.2), "input.gamma: is no key that is known here"),
        (lambda document: document["input"].update(resize="letterbox"), "input.resize: must be one of"),
    ],
    ids=["field", "field of a part", "value"],
)
def test_what_came_later_is_named_and_never_skipped(tmp_path: Path, change: Any, named: str) -> None:
    """A newer toolchain may add optional fields without a new number: an older daemon must not judge without them."""
    write_bundle(tmp_path)
    edited(tmp_path, change)
    with pytest.raises(FormatError, match="If a newer toolchain wrote it, update the daemon") as caught:
        open_bundle(tmp_path)
    assert named in str(caught.value)


def test_a_manifest_that_is_only_wrong_is_not_called_newer(tmp_path: Path) -> None:
    """A threshold above 1 is wrong in every version."""
    write_bundle(tmp_path)
    edited(tmp_path, lambda document: document["faults"][0].update(threshold=1.5))
    with pytest.raises(FormatError) as caught:
        open_bundle(tmp_path)
    assert "newer" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1, "format": 1}', '{"a":' * 100_000, "\x00\xff"])
def test_a_manifest_that_is_not_json_is_refused(tmp_path: Path, text: str) -> None:
    """Neither junk, duplicate keys nor absurd nesting get past the reader, or crash it."""
    write_bundle(tmp_path)
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(FormatError):
        open_bundle(tmp_path)


def test_files_that_are_not_listed_are_refused(tmp_path: Path) -> None:
    """Nothing rides along unseen."""
    write_bundle(tmp_path)
    (tmp_path / "extra.so").write_bytes(b"x")
    with pytest.raises(HashMismatch, match=r"extra\.so"):
        open_bundle(tmp_path)


def test_links_are_refused(tmp_path: Path) -> None:
    """A link could point outside what was hashed."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    write_bundle(folder)
    outside = tmp_path / "graph.onnx"
    outside.write_bytes((folder / "graph.onnx").read_bytes())
    (folder / "graph.onnx").unlink()
    (folder / "graph.onnx").symlink_to(outside)
    with pytest.raises(HashMismatch):
        open_bundle(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message names the file that is missing."""
    write_bundle(tmp_path)
    (tmp_path / "golden" / "0.jpg").unlink()
    with pytest.raises(BundleError, match=r"golden/0\.jpg is missing"):
        open_bundle(tmp_path)


@pytest.mark.parametrize("signature", ["", "garbage", "MEUCIQ=="])
def test_a_signature_that_cannot_be_checked_is_refused(tmp_path: Path, signature: str) -> None:
    """A reader that ignored it would make unsigned and badly signed bundles equal."""
    write_bundle(tmp_path)
    edited(tmp_path, lambda document: document.update(signature=signature))
    with pytest.raises(FormatError, match="cannot check signatures"):
        open_bundle(tmp_path)


def volume(folder: Path, target: str = "..2026_11_30") -> Path:
    """A bundle as a Kubernetes volume shows it: every name a link into ``..data``, itself a link to a folder that is replaced whole."""
    write_bundle(folder / target)
    (folder / "..data").symlink_to(target)
    for name in (MANIFEST, "graph.onnx", "golden"):
        (folder / name).symlink_to(f"..data/{name}")
    return folder


def test_a_volume_of_kubernetes_opens(tmp_path: Path) -> None:
    """What is opened is the folder behind it, so that an update meanwhile mixes no two bundles."""
    bundle = open_bundle(volume(tmp_path))
    assert bundle.path == tmp_path / "..2026_11_30"
    assert bundle.graph.is_file()
    assert not bundle.graph.is_symlink()


def test_links_that_lead_elsewhere_are_refused_as_links(tmp_path: Path) -> None:
    """Out of the volume, or in place of a file: what is behind may change after the hash was checked, and the message says how to copy."""
    outside = volume(tmp_path / "a")
    (outside / "..data").unlink()
    write_bundle(tmp_path / "elsewhere")
    (outside / "..data").symlink_to(tmp_path / "elsewhere")
    write_bundle(tmp_path / "b")
    (tmp_path / "b" / MANIFEST).rename(tmp_path / "moved.json")
    (tmp_path / "b" / MANIFEST).symlink_to(tmp_path / "moved.json")
    write_bundle(tmp_path / "c")
    (tmp_path / "c" / "graph.onnx").rename(tmp_path / "moved.onnx")
    (tmp_path / "c" / "graph.onnx").symlink_to(tmp_path / "moved.onnx")
    for name in "abc":
        with pytest.raises(BundleError, match=r"files, not links.*cp -rL"):
            open_bundle(tmp_path / name)


def test_a_manifest_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """A manifest is text about a model; what is larger is something else, and costs no memory."""
    write_bundle(tmp_path)
    with (tmp_path / MANIFEST).open("a") as file:
        file.write(" " * MANIFEST_BOUNDS.size_bytes)
    with pytest.raises(FormatError, match=f"larger than {MANIFEST_BOUNDS.size_bytes} bytes"):
        open_bundle(tmp_path)


@pytest.mark.parametrize("content", [b"onnx grap", b"onnx graphs!"])
def test_a_file_of_another_size_is_named_before_it_is_hashed(tmp_path: Path, content: bytes) -> None:
    """A copy that broke off says how far it came."""
    write_bundle(tmp_path)
    (tmp_path / "graph.onnx").write_bytes(content)
    with pytest.raises(HashMismatch, match=rf"graph\.onnx has {len(content)} bytes, the manifest gives 11"):
        open_bundle(tmp_path)

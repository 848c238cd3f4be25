"""The bundle contract refuses whatever it does not fully understand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.bundle import MANIFEST, Manifest, manifest_json, open_bundle
from edge.errors import BundleError, FormatError, HashMismatch
from tests.edge.builders import fault, manifest_document, write_bundle

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
        pytest.param(lambda document: document.update(format=2), id="newer format"),
        pytest.param(lambda document: document.pop("format"), id="no format"),
        pytest.param(lambda document: document.update(surprise=1), id="unknown field"),
        pytest.param(lambda document: document["input"].update(gamma=2.2), id="unknown preprocessing field"),
        pytest.param(lambda document: document["faults"][0].update(threshold=1.5), id="threshold outside 0..1"),
        pytest.param(lambda document: document["faults"][0].update(release=0.9), id="release above threshold"),
        pytest.param(lambda document: document["faults"][0].update(calibration=None), id="armed without calibration"),
        pytest.param(lambda document: document["faults"][1].update(id="crack"), id="fault id twice"),
        pytest.param(
            lambda document: document["proof"]["golden"][0].update(scores=[0.1]), id="golden scores of the wrong length"
        ),
        pytest.param(lambda document: document["proof"].update(golden=[]), id="no golden input"),
        pytest.param(lambda document: document["files"][0].update(path="../graph.onnx"), id="path leaves the folder"),
        pytest.param(lambda document: document["files"][0].update(path="/etc/passwd"), id="absolute path"),
        pytest.param(lambda document: document["execution"].update(graph="other.onnx"), id="graph not listed"),
        pytest.param(lambda document: document.update(created="2026-11-23T10:00:00"), id="time without zone"),
    ],
)
def test_a_manifest_that_is_not_understood_is_refused(tmp_path: Path, change: Any) -> None:
    """Unknown formats, unknown fields and contradictions refuse the bundle with a message."""
    write_bundle(tmp_path)
    edited(tmp_path, change)
    with pytest.raises(FormatError):
        open_bundle(tmp_path)


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


def test_the_manifest_survives_a_round_trip() -> None:
    """JSON out and in changes nothing."""
    manifest = Manifest.model_validate(manifest_document(FILES, faults=[fault("crack", armed=False, calibration=None)]))
    assert Manifest.model_validate_json(manifest_json(manifest)) == manifest

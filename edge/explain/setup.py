"""Wires the explanations: gives `edge.explain` the bundle's graphs and its view of alarms and channels."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.alarm.annunciator import Annunciator
from edge.bundle import Bundle
from edge.errors import BundleError, InferenceFailed
from edge.explain.beside import Explanations
from edge.explain.explainer import Explainer
from edge.explain.painting import Found, Painter
from edge.explain.speech import BEST, FRAME, KEY, KEYS, PLACE, SURE, TOKEN, VALUE, VALUES, Speech, read_pieces
from edge.explain.where import WHOLE, Place
from edge.frame import Frame
from edge.inference.engine import Engine, NoEngine
from edge.inference.onnx_session import Brake, Graph, Stopped, open_session
from edge.inference.preprocess import PictureLimits, Preprocessor, encode_jpeg
from edge.manifest import Speech as SpeechSpec
from edge.publish.publisher import Publisher
from edge.site.sections import ExplainSettings
from edge.site.settings import Site
from edge.system.clock import Clock
from edge.units import NS_PER_MS
from edge.verdict.channel import Channel

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What exists before the explanations do."""

    site: Site
    bundle: Bundle | None
    channels: Sequence[Channel]
    engine: Engine | NoEngine
    preprocessors: Mapping[str, Preprocessor]
    annunciator: Annunciator
    publisher: Publisher
    count: Callable[[str], None]
    clock: Clock


@dataclass(frozen=True, slots=True)
class LoadedSpeech:
    """The graphs of a bundle that generates text, loaded and tried: None if they do not work here; and how long steps took, ns."""

    speech: Speech | None
    took_ns: Mapping[str, int]


def prepare_speech(site: Site, bundle: Bundle, brake: Brake, now: Callable[[], int]) -> LoadedSpeech | None:
    """The graphs that generate text; None where there are none, or explanations are off on the site."""
    if not site.explain.enabled or bundle.manifest.speech is None:
        return None
    took_ns: dict[str, int] = {}
    return LoadedSpeech(load_speech(bundle, bundle.manifest.speech, brake, took_ns, now), took_ns)


def rehearse_painting(site: Site, bundle: Bundle, now: Callable[[], int]) -> dict[str, int]:
    """How long each kind of step of making a picture takes here, ns; empty where pictures are off on the site.

    Tried on noise, which is the hardest to decode and to encode, and just too small to be decoded at half its size.
    """
    if not site.explain.enabled or not site.explain.image:
        return {}
    side = 2 * site.explain.image_px - 1
    encoded = encode_jpeg(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))
    stage = Preprocessor(bundle.manifest.frame_input, PictureLimits(len(encoded), side * side))
    found = Found(np.eye(site.explain.grid), WHOLE, Place("middle", 0.5, 0.5))
    steps = _painter(site.explain, {"": stage}).paint(Frame("", 0, encoded, 0, 0, 0), found)
    took_ns: dict[str, int] = {}
    kind = next(steps, "")
    while kind:
        begun_ns = now()
        following = next(steps, "")
        took_ns[kind] = max(took_ns.get(kind, 0), now() - begun_ns)
        kind = following
    return took_ns


def make_explanations(
    parts: Parts,
    brake: Brake,
    run_ms: float,
    speech: LoadedSpeech | None = None,
    painting_ns: Mapping[str, int] | None = None,
) -> Explanations:
    """The stage, as it runs beside the path; it does nothing where explanations are off on the site.

    Args:
        parts: the daemon's.
        brake: pulled when a frame arrives.
        run_ms: how long one run of the bundle's graph takes here.
        speech: for a bundle that generates text.
        painting_ns: how long each step of making a picture takes here.
    """
    shown = _shown_cameras(parts)
    parts.publisher.show_only({channel.spec.id for channel in parts.channels if channel.spec.camera in shown})
    if not parts.site.explain.enabled:
        return Explanations(parts.annunciator, None)
    took_ns = {"cover": round(run_ms * NS_PER_MS)} | dict(painting_ns or {})
    if speech is not None:
        took_ns |= speech.took_ns
        if speech.speech is None:
            parts.count("unavailable")
    by_id = {channel.spec.id: channel for channel in parts.channels}
    explainer = Explainer(
        settings=parts.site.explain,
        faults=[channel.spec for channel in parts.channels],
        rules=lambda fault_id, now_ns: by_id[fault_id].rules(now_ns),
        newest=lambda alarm_id: parts.annunciator.occurrence(alarm_id)[0],
        engine=parts.engine,
        speech=None if speech is None else speech.speech,
        preprocessors=parts.preprocessors,
        painter=_painter(parts.site.explain, shown) if shown else None,
        brake=brake,
        publish=parts.publisher.explanation,
        publish_image=parts.publisher.heat_map,
        count=parts.count,
        model=None if parts.bundle is None else (parts.bundle.manifest.name, parts.bundle.sha256),
        monotonic_ns=parts.clock.monotonic_ns,
        wall_ns=parts.clock.wall_ns,
        expected_ns=took_ns,
        looked_at=lambda fault_id: by_id[fault_id].looked_at,
    )
    return Explanations(parts.annunciator, explainer)


def _shown_cameras(parts: Parts) -> dict[str, Preprocessor]:
    """The preprocess stage of each camera whose pictures may be shown beside sentences."""
    site = parts.site
    if not site.explain.enabled or not site.explain.image:
        return {}
    return {camera.id: parts.preprocessors[camera.id] for camera in site.cameras if camera.snapshot}


def _painter(settings: ExplainSettings, cameras: Mapping[str, Preprocessor]) -> Painter:
    return Painter(cameras, encode_jpeg, settings.image_px, settings.image_max_bytes)


def load_speech(
    bundle: Bundle,
    spec: SpeechSpec,
    brake: Brake,
    took_ns: dict[str, int],
    now: Callable[[], int] = time.monotonic_ns,
) -> Speech | None:
    """Load the graphs that generate text and try each once, filling in how long they took; None, with a warning, when they do not work here."""
    try:
        begin, follow = (
            Graph(
                open_session(bundle.path / file, bundle.manifest.execution.model_copy(update={"graph": file})),
                brake,
            )
            for file in (spec.begin, spec.follow)
        )
        _check_names(begin, {FRAME, KEYS, VALUES})
        _check_names(follow, {TOKEN, PLACE, KEYS, VALUES, KEY, VALUE, BEST, SURE})
        speech = Speech(begin, follow, spec, read_pieces(bundle.path / spec.pieces))
        size = bundle.manifest.frame_input
        blank: NDArray[np.uint8] = np.zeros((1, size.height, size.width, 3), np.uint8)
        for _ in range(2):  # the first run of a graph is slower than those that follow
            start_ns = now()
            thought = speech.read_picture(blank)
            looked_ns = now()
            speech.follow(thought, spec.ends[0])
            took_ns |= {"picture": looked_ns - start_ns, "token": now() - looked_ns}
    except (BundleError, InferenceFailed, Stopped, ValueError, LookupError, OSError) as error:
        _log.warning("this bundle cannot put faults into words here, a template will: %s", error)
        return None
    return speech


def _check_names(graph: Graph, wanted: set[str]) -> None:
    missing = wanted - graph.shapes.keys()
    if missing:
        raise ValueError(f"a graph that generates text has no {', '.join(sorted(missing))}")

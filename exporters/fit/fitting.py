"""Fits the checkpoint to the site: words become constants or a head is fitted, and its evidence sets the scale of the scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from exporters.fit import heads
from exporters.fit.feature_cache import Features, cached, remembered
from exporters.fit.joint import Joint, Mixed, Mixture
from exporters.fit.unnamed import Unnamed
from exporters.graph.specialise import plain_scale, specialise
from exporters.handed_on import Compiled
from exporters.job import Job
from exporters.model import Model, Question, Scale
from exporters.pictures.images import Dataset
from exporters.progress import Progress
from exporters.proof import calibrate

REFERENCE_BATCH = 128  # frames whose float pixels are held at once


def compile_faults(job: Job, model: Model, dataset: Dataset, step: Progress) -> Compiled:
    """Words become constants or heads are fitted; the checkpoint's own evidence sets the scale of the scores. Raises ExportError."""
    asked = job.questions
    step("prompts", f"{len(asked)} faults, {sum(len(q.words) + len(q.normal_words) for q in asked)} phrasings")
    features: Features = model.features
    if job.features is not None:
        features = cached(features, job.checkpoint.folder, job.features)
    features = remembered(features)
    named = (
        heads.fit_named(job.recipe, features, dataset, log=step.of("head"))
        if job.recipe.head.kind == "fitted"
        else None
    )
    looked = () if named is None else heads.deletion_notes(job.recipe, features, dataset, named, log=step.of("head"))
    unnamed = (
        heads.fit_unnamed(job.recipe, features, dataset, log=step.of("unnamed")) if job.recipe.unnamed.enabled else None
    )
    fitted = named if unnamed is None else _joint(model, asked[:-1], named, unnamed.module)
    step("reference", f"float checkpoint on {len(dataset.frames)} images")
    evidence = np.concatenate(
        [
            model.reference(model.normalise(dataset.frames[start : start + REFERENCE_BATCH]), asked, fitted)
            for start in range(0, len(dataset.frames), REFERENCE_BATCH)
        ]
    )
    unseen = evidence
    if dataset.folds:
        members, evidence = evidence, evidence.mean(axis=1)
        unseen = calibrate.unseen(evidence, members, dataset.folds)
    rows = np.zeros(0, np.int64)
    notes = looked
    if unnamed is not None:
        rows, notes, unseen = unnamed.rows, looked + unnamed.notes, unseen.copy()
        unseen[rows, -1] = unnamed.unseen
    if job.recipe.head.unnamed_share > 0 and isinstance(fitted, Joint):
        mixture = Mixture.of(unseen[calibrate.calibrating(job.recipe, dataset)], job.recipe.head.unnamed_share)
        fitted, evidence, unseen = Mixed(fitted, mixture).eval(), mixture(evidence), mixture(unseen)
    scale = _scale(job, dataset, unseen)
    module = specialise(model.graph(asked, fitted), scale, in_folds=bool(dataset.folds))
    return Compiled(fitted, evidence, unseen, scale, module, model, rows, notes)


def _joint(model: Model, named: Sequence[Question], head: nn.Module | None, unnamed: Unnamed) -> Joint:
    """The named faults' head, or their words, and the unnamed channel as one head."""
    own = model.worded(named) if head is None and named else head
    return Joint(own, unnamed).eval()


def _scale(job: Job, dataset: Dataset, unseen: NDArray[np.float32]) -> Scale:
    """From evidence [N, K] of the site's normal images; plain where a channel has none."""
    scale = plain_scale(len(job.questions))
    for k, question in enumerate(job.questions):
        chosen = calibrate.calibrating(job.recipe, dataset, question.id)
        if chosen.any():
            groups = calibrate.groups_of(dataset, chosen) if job.recipe.tolerance.by_group else None
            bound = job.recipe.tolerance.false_alarm_bound
            scale.gain[k], scale.bias[k] = calibrate.fit_scale(unseen[chosen, k], bound, groups)
    return scale

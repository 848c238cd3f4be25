"""Chooses the model's form for this recipe and site: one-token questions, tree or prefix, and the depth of its masks."""

from __future__ import annotations

import numpy as np

from exporters.fit.onetoken import one_token
from exporters.job import Job
from exporters.model import Model
from exporters.pictures.images import Dataset
from exporters.progress import Progress

MASK_PICTURES = 16


def prepare_model(job: Job, model: Model, dataset: Dataset, step: Progress) -> tuple[Model, tuple[str, ...]]:
    """The model as it will be compiled, and lines for the report. Raises ExportError."""
    asking: tuple[str, ...] = ()
    if job.recipe.generative.questions == "one-token":
        step("questions", "one token for each, fitted on the fit images")
        model, asking = one_token(model, job.questions, dataset)
    model, form = model.formed(job.questions, job.provider, step.of("form"))
    some = np.linspace(0, len(dataset.frames) - 1, min(MASK_PICTURES, len(dataset.frames))).astype(int)
    return model.masked(job.questions, dataset.frames[some]), asking + form

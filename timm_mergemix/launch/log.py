"""Log lines about a run, written by its first process."""

from __future__ import annotations

import logging

from ..config import shown
from ..errors import MergeMixError
from ..merge.clipping import clipping
from ..merge.families import Backbone
from ..merge.info import info_of, state_of
from ..mix.mixer import Mixer
from ..saliency.feature_pass import FeaturePass
from .run import Run, rank

__all__ = ["describe_preference", "say", "say_merging", "say_mixing"]

_logger = logging.getLogger(__name__)


def say(text: str) -> None:
    """Logs a line if this is the first process."""
    if rank() == 0:
        _logger.info(text)


def say_merging(run: Run, backbone: Backbone, size: tuple[int, int] | None = None) -> None:
    """Logs how a model merges for images of a size."""
    if run.request.merge is None:
        return
    pixels = "" if size is None else f" ({size[0]} x {size[1]} pixels)"
    say(f"Token merging, r={run.request.merge.r}{_tokens(backbone, size)}{pixels}")
    message = clipping(backbone, state_of(backbone).settings.schedule, size)
    if message and rank() == 0:
        _logger.warning(message)


def say_mixing(run: Run) -> None:
    """Logs what mixes the batches, what a recipe has set, and whether there is a preference."""
    request, mixer = run.request, run.mixer
    if mixer is None:
        return
    say(f"Batches are mixed on the device by {mixer}{_source(run)}")
    if request.recipe:
        sets = ", ".join(f"{flag} {shown(value)}" for flag, value in request.recipe_sets.items())
        say(f"Recipe {request.recipe} sets {sets or 'nothing, since everything is given'}")
    if request.preference is not None:
        say(describe_preference(mixer, request.preference.weight))
        say("Clean images and mixes run in one batch: halve the logged images per second to count images once")


def describe_preference(mixer: Mixer, weight: float) -> str:
    """Describes the preference, and in what share of the batches or images there is a mix as its loser."""
    share, whose = (
        mixer.prob * sum(share for _, share in mixer.blends),
        "batches" if mixer.mode == "batch" else "images",
    )
    none = f"; the other {1 - share:.0%} are not mixed and have no pair" if share < 1 else ""
    return f"Preference of clean images over their mixes, weight {weight:g}; pairs in {share:.0%} of the {whose}{none}"


def _source(run: Run) -> str:
    """Says what is read to mix by, unless that is the attention of the model in training."""
    saliency, whose = getattr(run.mixer, "saliency", None), run.request.encoder or "the model"
    if isinstance(saliency, FeaturePass):
        return f", feature map {saliency.layer} of {whose}"
    return "" if run.encoder is None else f", attention of {whose}"


def _tokens(backbone: Backbone, size: tuple[int, int] | None) -> str:
    """Lists the tokens after each block if the image size is known, else returns an empty text."""
    try:
        return f": tokens {', '.join(map(str, info_of(backbone, size).tokens))}"
    except MergeMixError:
        return ""

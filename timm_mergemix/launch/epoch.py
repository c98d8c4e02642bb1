"""One epoch of a script on mixed batches. The signature of its function differs between releases of timm."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from timm.loss import BinaryCrossEntropy
from torch import nn

from ..errors import unusable
from .criterion import MixCriterion
from .loader import MixingLoader
from .log import say
from .mixing import epoch_generator
from .request import Request
from .run import Run, rank

__all__ = ["run_epoch"]


def run_epoch(run: Run, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a script's ``train_one_epoch`` with batches that are mixed on the device, and a criterion for soft targets.

    Raises:
        MergeMixError: If the script trains in a way that does not work with soft targets.
    """
    if run.mixer is None:
        return original(*args, **kwargs)
    request = run.request
    call = inspect.signature(original).bind(*args, **kwargs)
    given: dict[str, Any] = call.arguments
    epoch, device = given["epoch"], next(run.model.parameters()).device
    if run.encoder is not None:
        run.encoder.to(device, given.get("model_dtype"))
    run.mixer.generator = epoch_generator(request.seed, rank(), epoch)
    run.mixer.mixup_enabled = not (request.mixup_off_epoch and epoch >= request.mixup_off_epoch)
    pairs = request.preference is not None and run.mixer.mixup_enabled
    autocast = given.get("amp_autocast", nullcontext)
    given["loader"] = MixingLoader(given["loader"], run.mixer, device, given.get("model_dtype"), autocast, pairs)
    given.pop("mixup_fn", None)  # the script's own, in whose place the loader mixes
    if pairs and given.get("batch_size_reference"):
        given["batch_size_reference"] *= 2  # losses are weighted by batch size, and the clean images count
    criterion = _place_criterion(given, request).to(device)
    criterion.start_epoch()
    metrics = original(*call.args, **call.kwargs)
    # Also where mixing has stopped: the columns of summary.csv are those of its first epoch.
    return metrics if request.preference is None else _with_terms(metrics, criterion, epoch)


def _place_criterion(given: dict[str, Any], request: Request) -> MixCriterion:
    """Puts the criterion where the script calls it: an argument in old releases, an attribute of a task in new ones."""
    if "loss_fn" in given:
        given["loss_fn"] = criterion = _wrapped(given["loss_fn"], request)
        return criterion
    task: Any = given.get("task")
    task = getattr(task, "_orig_mod", task)  # some releases compile the whole task
    if getattr(task, "criterion", None) is None or getattr(task, "multi_label", False):
        wanted = "one with a criterion and a single class for each image"
        raise unusable(request.mixing_flag, f"the script's task is {type(task).__name__}, wanted {wanted}")
    task.criterion = criterion = _wrapped(task.criterion, request)
    return criterion


def _wrapped(criterion: Callable[..., Any], request: Request) -> MixCriterion:
    if isinstance(criterion, MixCriterion):
        return criterion
    if request.bce is not None and isinstance(criterion, nn.CrossEntropyLoss):
        criterion = BinaryCrossEntropy(
            **request.bce
        )  # timm's script takes it only if it mixes itself or smooths labels
    return MixCriterion(criterion, request.preference)


def _with_terms(metrics: Any, criterion: MixCriterion, epoch: int) -> Any:
    means = criterion.means()
    say(f"Preference: {epoch} {', '.join(f'{name} {value:.4g}' for name, value in means.items())}")
    return OrderedDict({**metrics, **means})

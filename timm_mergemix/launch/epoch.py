"""One epoch of a script, on mixed batches. Its function's signature differs from release to release."""

from __future__ import annotations

import inspect
import logging
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from timm.loss import BinaryCrossEntropy
from torch import nn

from ..errors import unusable
from .check import is_primary, mixing_flag, prefers
from .criterion import MixCriterion
from .loader import MixingLoader
from .mixing import epoch_generator

if TYPE_CHECKING:
    from .hooks import Run

__all__ = ["run_epoch"]

_logger = logging.getLogger(__name__)


def run_epoch(run: Run, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a script's ``train_one_epoch`` with batches mixed on the device, and a criterion for soft targets.

    Raises:
        MergeMixError: If the script trains in a way that soft targets do not fit.
    """
    if run.mixer is None:
        return original(*args, **kwargs)
    call = inspect.signature(original).bind(*args, **kwargs)
    given: dict[str, Any] = call.arguments
    options, epoch, device = given["args"], given["epoch"], next(run.model.parameters()).device
    if run.encoder is not None:
        run.encoder.to(device, given.get("model_dtype"))
    run.mixer.generator = epoch_generator(options.seed, options.rank, epoch)
    run.mixer.mixup_enabled = not (options.mixup_off_epoch and epoch >= options.mixup_off_epoch)
    pairs = prefers(options) and run.mixer.mixup_enabled
    autocast = given.get("amp_autocast", nullcontext)
    given["loader"] = MixingLoader(given["loader"], run.mixer, device, given.get("model_dtype"), autocast, pairs)
    given.pop("mixup_fn", None)  # the script's own, in whose place the loader mixes
    if pairs and given.get("batch_size_reference"):
        given["batch_size_reference"] *= 2  # losses are weighted by batch size, and the clean images count
    criterion = _place_criterion(given, options).to(device)
    criterion.start_epoch()
    metrics = original(*call.args, **call.kwargs)
    # Also where mixing has stopped: the columns of summary.csv are those of its first epoch.
    return _with_terms(metrics, criterion, options, epoch) if prefers(options) else metrics


def _place_criterion(given: dict[str, Any], args: Namespace) -> MixCriterion:
    """Puts the criterion where the script calls it: an argument in old releases, in new ones an attribute of a task."""
    if "loss_fn" in given:
        given["loss_fn"] = criterion = _wrapped(given["loss_fn"], args)
        return criterion
    task: Any = given.get("task")
    task = getattr(task, "_orig_mod", task)  # some releases compile the whole task
    if getattr(task, "criterion", None) is None or getattr(task, "multi_label", False):
        wanted = "one with a criterion and a single class for each image"
        raise unusable(mixing_flag(args), f"the script's task is {type(task).__name__}, wanted {wanted}")
    task.criterion = criterion = _wrapped(task.criterion, args)
    return criterion


def _wrapped(criterion: Callable[..., Any], args: Namespace) -> MixCriterion:
    if isinstance(criterion, MixCriterion):
        return criterion
    preference = {
        "weight": args.preference,
        "beta": args.preference_beta,
        "gamma": args.preference_gamma,
        "variant": args.preference_variant,
    }
    return MixCriterion(_asked(criterion, args), preference if prefers(args) else None)


def _asked(criterion: Callable[..., Any], args: Namespace) -> Callable[..., Any]:
    """The criterion of ``--bce-loss``, which timm's script takes only if it mixes itself or smooths labels."""
    if not getattr(args, "bce_loss", False) or not isinstance(criterion, nn.CrossEntropyLoss):
        return criterion
    return BinaryCrossEntropy(
        smoothing=0.0,
        target_threshold=getattr(args, "bce_target_thresh", None),
        sum_classes=getattr(args, "bce_sum", False),
        pos_weight=getattr(args, "bce_pos_weight", None),
    )


def _with_terms(metrics: Any, criterion: MixCriterion, args: Namespace, epoch: int) -> Any:
    means = criterion.means()
    if is_primary(args):
        named = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        _logger.info(f"Preference: {epoch} {named}")
    return OrderedDict({**metrics, **means})

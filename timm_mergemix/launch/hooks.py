"""Rebinds globals of one script so that it merges tokens and mixes batches. Nothing in timm is changed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from types import ModuleType
from typing import Any

from .epoch import run_epoch
from .flags import add_merge_flags, add_mix_flags
from .loader import create_loader
from .models import create_model
from .parsing import Parsed, watch
from .reading import read_request, write_back
from .run import Run, rank
from .unused import warn_of_idle, warn_of_unknown
from .validation import run_validation

__all__ = ["hook"]


def hook(script: ModuleType) -> Run:
    """Adds our flags to a script's parser, and rebinds the globals by which it then merges and mixes.

    Args:
        script: A script that `timm_mergemix.launch.script.check_script` accepts.

    Returns:
        The state that the hooks share. It is filled while the script runs.

    Raises:
        MergeMixError: If the script has a flag with the same name as one of ours.
    """
    run = Run(training=hasattr(script, "train_one_epoch"))
    add_merge_flags(script.parser, run.training)
    if run.training:
        add_mix_flags(script.parser)
    watch(script.parser, partial(_start, run))
    _rebind(script, "create_model", partial(create_model, run))
    if run.training:
        _rebind(script, "create_loader", partial(create_loader, run))
        _rebind(script, "train_one_epoch", partial(run_epoch, run))
        _rebind(script, "validate", partial(run_validation, run))
    return run


def _start(run: Run, parsed: Parsed) -> None:
    """Reads the request once the script has parsed its arguments."""
    if rank() == 0:
        warn_of_unknown(parsed)  # first: a mistyped key is often why a check below fails
    run.request = read_request(parsed, run.training)
    if rank() == 0:
        warn_of_idle(parsed, run.request)
    write_back(parsed.args, run.request)


def _rebind(script: ModuleType, name: str, replacement: Callable[..., Any]) -> None:
    original = getattr(script, name)

    @wraps(original)
    def hooked(*args: Any, **kwargs: Any) -> Any:
        return replacement(original, *args, **kwargs)

    setattr(script, name, hooked)

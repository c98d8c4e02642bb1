"""Packages that only the demo needs."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from .errors import MergeMixError

__all__ = ["installed", "need"]


def installed(package: str) -> bool:
    """Whether a top-level package can be imported."""
    return find_spec(package) is not None


def need(module: str, purpose: str) -> ModuleType:
    """Imports a module of the ``demo`` extra.

    Args:
        module: Its dotted name.
        purpose: What it is needed for, for the error.

    Raises:
        MergeMixError: If it is not installed; the message says how to get it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.split(".")[0].replace("sklearn", "scikit-learn")
        message = f'{purpose} needs {package}, which cannot be imported ({error}): pip install "timm-mergemix[demo]"'
        raise MergeMixError(message) from error

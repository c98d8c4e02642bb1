"""Packages that only the extras need."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from .errors import MissingPackageError

__all__ = ["installed", "need"]


def installed(package: str) -> bool:
    """Whether a top-level package can be imported."""
    return find_spec(package) is not None


def need(module: str, purpose: str, extra: str = "demo") -> ModuleType:
    """Imports a module of an extra.

    Args:
        module: Its dotted name.
        purpose: What it is needed for, for the error.
        extra: The extra that installs it.

    Raises:
        MissingPackageError: If it is not installed; the message says how to get it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.split(".")[0].replace("sklearn", "scikit-learn")
        how = f'pip install "timm-mergemix[{extra}]"'
        message = f"{purpose} needs {package}, which cannot be imported ({error}): {how}"
        raise MissingPackageError(message) from error

"""The error class of this library, and the checks of arguments and of optional packages that raise it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from numbers import Integral, Real
from pathlib import PurePath
from types import ModuleType
from typing import Any

import torch

__all__ = ["MergeMixError", "MissingPackageError"]


class MergeMixError(ValueError):
    """An argument cannot be used. The error names the argument, what was passed and what is wanted.

    It can also be made from a complete message alone, as a data loader does when it passes on an error of a worker.

    Attributes:
        message: What is wrong, as a sentence; empty if ``got`` and ``wanted`` say it.
        argument: Name of the argument, as the user wrote it; empty if there is none.
        part: Which part of the argument is wrong, such as ``"[3]"``; empty for all of it.
        got: Description of what was passed.
        wanted: Description of what would have been right.
    """

    def __init__(
        self, message: str = "", *, argument: str = "", part: str = "", got: str = "", wanted: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.argument = argument
        self.part = part
        self.got = got
        self.wanted = wanted

    def __str__(self) -> str:
        said = self.message or f"got {self.got}, wanted {self.wanted}"
        return f"{self.argument}{self.part}: {said}" if self.argument else said


class MissingPackageError(MergeMixError, ImportError):
    """An optional package is not installed. The message says how to install it."""


class Words(str):
    """A description of what was passed, used in place of the value itself: `describe` returns it unchanged."""


def wrong(argument: str | PurePath, got: Any, wanted: str, part: str = "") -> MergeMixError:
    """Returns the error for ``argument``; the caller raises it.

    Args:
        argument: Name of the argument as the user wrote it.
        got: The value that was passed, or `Words` that describe it.
        wanted: Description of what would have been right.
        part: Which part of the argument is wrong, such as ``"[3]"``.
    """
    return MergeMixError(argument=str(argument), part=part, got=describe(got), wanted=wanted)


def unusable(argument: str | PurePath, reason: object) -> MergeMixError:
    """Returns the error for an argument that has the right form but still cannot be used; the caller raises it.

    Args:
        argument: Name of the argument as the user wrote it.
        reason: Why it cannot be used: a sentence, or an error that says so.
    """
    return MergeMixError(str(reason), argument=str(argument))


@contextmanager
def named(**names: str) -> Iterator[None]:
    """Renames the argument in errors to what the user calls it: ``with named(r="saliency_r"):``."""
    try:
        yield
    except MergeMixError as error:
        error.argument = names.get(error.argument, error.argument)
        raise


def describe(value: Any) -> str:
    """Describes a value in a few words: a tensor by dtype and shape, anything else by its repr, shortened if long."""
    if isinstance(value, torch.Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        if value.is_nested:
            return f"a nested {kind} tensor"
        layout = "" if value.layout == torch.strided else f" of layout {str(value.layout).removeprefix('torch.')}"
        return f"{article(kind)} {kind} tensor of shape {tuple(value.shape)}{layout}"
    if isinstance(value, torch.nn.Module):
        return f"a module of class {type(value).__name__}"
    if isinstance(value, Words):
        return str(value)
    value = str(value) if isinstance(value, PurePath) else value
    text, most = repr(value), 300 if isinstance(value, str) else 80  # a long path should still be shown in full
    cut = (most - 3) // 2
    return text if len(text) <= most else f"{text[:cut]}...{text[-cut:]}"


def article(word: str) -> str:
    """Returns the indefinite article of a dtype or a class."""
    return "an" if word.lower().startswith(("a", "e", "i", "o")) else "a"


def check_choice(argument: str, value: Any, choices: Iterable[str]) -> None:
    """Raises unless ``value`` is one of ``choices``."""
    choices = tuple(choices)
    if not isinstance(value, str) or value not in choices:
        raise wrong(argument, value, "one of " + ", ".join(map(repr, choices)))


def check_bool(argument: str, value: Any) -> None:
    """Raises unless ``value`` is True or False. Any non-empty text would otherwise count as True."""
    if not isinstance(value, bool):
        raise wrong(argument, value, "True or False")


def check_tensor(
    argument: str, value: Any, shape: Sequence[int | str], kind: str = "", like: torch.Tensor | None = None
) -> None:
    """Raises unless ``value`` is a dense tensor of the given shape and kind.

    Args:
        argument: Name of the argument.
        value: What was passed.
        shape: The length of each axis, or a name for an axis of any length.
        kind: ``"float"``, ``"integer"`` or ``"bool"``; empty if any dtype will do.
        like: A tensor whose device ``value`` must be on; None if any device will do.
    """
    if (
        not isinstance(value, torch.Tensor)
        or not is_dense(value)
        or value.ndim != len(shape)
        or any(isinstance(wanted, int) and got != wanted for got, wanted in zip(value.shape, shape, strict=True))
        or (kind and kind != _kind(value))
    ):
        axes = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise wrong(argument, value, f"{article(kind)} {kind} tensor of shape ({axes})".replace("  ", " "))
    if like is not None:
        check_same_device(argument, value, like)


def check_same_device(argument: str, value: torch.Tensor, like: torch.Tensor) -> None:
    """Raises unless a tensor is on the same device as another one."""
    if value.device != like.device:
        raise wrong(argument, Words(f"a tensor on {value.device}"), f"one on {like.device}, where the others are")


def is_dense(value: torch.Tensor) -> bool:
    """Whether a tensor stores a plain number for each element: it is neither sparse, nested nor quantised."""
    return not value.is_nested and value.layout == torch.strided and not value.is_quantized


def _kind(value: torch.Tensor) -> str:
    if value.is_floating_point():
        return "float" if value.itemsize > 1 else "other"  # torch supports hardly any operation on 8-bit floats
    return {torch.bool: "bool"}.get(value.dtype, "other" if value.is_complex() else "integer")


def check_int(argument: str, value: Any, low: int, part: str = "") -> None:
    """Raises unless ``value`` is a 64-bit integer (not a bool) of at least ``low``. `wrong` explains ``part``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= int(value) < 2**63:
        raise wrong(argument, value, f"an integer >= {low}", part)


def check_number(argument: str, value: Any, low: float, high: float = math.inf, part: str = "") -> None:
    """Raises unless ``value`` is a finite number in [low, high]. `wrong` explains ``part``."""
    if not _is_finite_number(value) or not low <= value <= high:
        limits = f"from {low} to {high}" if math.isfinite(high) else f">= {low}"
        raise wrong(argument, value, f"a finite number {limits}", part)


def check_positive(argument: str, value: Any) -> None:
    """Raises unless ``value`` is a finite number above 0."""
    if not _is_finite_number(value) or value <= 0:
        raise wrong(argument, value, "a finite number > 0")


def installed(package: str) -> bool:
    """Whether a top-level package can be imported."""
    return find_spec(package) is not None


def need(module: str, purpose: str, extra: str = "demo") -> ModuleType:
    """Imports a module of an optional package.

    Args:
        module: The dotted name of the module.
        purpose: What needs the module, for the error message.
        extra: The extra that installs the package.

    Raises:
        MissingPackageError: If the package is not installed. The message says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.split(".")[0].replace("sklearn", "scikit-learn")
        how = f'pip install "timm-mergemix[{extra}]"'
        message = f"{purpose} needs {package}, which cannot be imported ({error}): {how}"
        raise MissingPackageError(message) from error


def _is_finite_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer too large for a float
        return False

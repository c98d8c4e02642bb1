"""The error class of this library, and the checks of arguments and optional packages that raise it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from numbers import Integral, Real
from pathlib import PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any

# The command line answers --help and typos by this module, and must not wait for torch.
if TYPE_CHECKING:
    import torch

__all__ = ["MergeMixError", "MissingPackageError"]


class MergeMixError(ValueError):
    """An argument cannot be used. The error names the argument, what was passed and what is wanted.

    It can also be made from a complete message, which is how a data loader passes on an error of its workers.

    Attributes:
        message: What is wrong, as a sentence; empty if ``got`` and ``wanted`` say it.
        argument: Name of the argument, as the user wrote it; may be empty.
        part: Which part of the argument is meant, such as ``"[3]"``; empty for the whole.
        got: What was passed, in words.
        wanted: What would have been right, in words.
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
    """A description of what was passed, in place of the value itself. `describe` leaves it as it is."""


def wrong(argument: str | PurePath, got: Any, wanted: str, part: str = "") -> MergeMixError:
    """Returns the error for ``argument``; the caller raises it.

    Args:
        argument: Name of the argument as the user wrote it.
        got: The value that was passed, or `Words` about it.
        wanted: What would have been right.
        part: Which part of the argument is meant, such as ``"[3]"``.
    """
    return MergeMixError(argument=str(argument), part=part, got=describe(got), wanted=wanted)


def unusable(argument: str | PurePath, reason: object) -> MergeMixError:
    """Returns the error for an argument that has the right form and still cannot be used; the caller raises it.

    Args:
        argument: Name of the argument as the user wrote it.
        reason: Why it cannot be used, as a sentence, or an error that says so.
    """
    return MergeMixError(str(reason), argument=str(argument))


@contextmanager
def named(**names: str) -> Iterator[None]:
    """Renames arguments in errors to what the user wrote: ``with named(r="saliency_r"):``."""
    try:
        yield
    except MergeMixError as error:
        error.argument = names.get(error.argument, error.argument)
        raise


def with_article(noun: str) -> str:
    """The noun with its indefinite article. One that begins with u is taken for ``uint8`` or the like."""
    return f"an {noun}" if noun[:1].lower() in ("a", "e", "i", "o") else f"a {noun}"


def suggest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The end of a message on an unknown name: ", did you mean ...?", or nothing if no known name is like it."""
    close = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f", did you mean {close[0]}?" if close else ""


def describe(value: Any) -> str:
    """A short description of a value: dtype and shape of a tensor, or else its repr, shortened in the middle."""
    torch: Any = sys.modules.get("torch")  # without it nothing can be a tensor
    if torch is not None and isinstance(value, torch.Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        if value.is_nested:
            return f"a nested {kind} tensor"
        layout = "" if value.layout == torch.strided else f" of layout {str(value.layout).removeprefix('torch.')}"
        return f"{with_article(kind)} tensor of shape {tuple(value.shape)}{layout}"
    if torch is not None and isinstance(value, torch.nn.Module):
        return f"a module of class {type(value).__name__}"
    if isinstance(value, Words):
        return str(value)
    value = str(value) if isinstance(value, PurePath) else value
    text, most = repr(value), 300 if isinstance(value, str) else 80  # paths are long and should be shown in full
    cut = (most - 3) // 2
    return text if len(text) <= most else f"{text[:cut]}...{text[-cut:]}"


def check_choice(argument: str, value: Any, choices: Iterable[str]) -> None:
    """Raises unless ``value`` is one of ``choices``."""
    choices = tuple(choices)
    if not isinstance(value, str) or value not in choices:
        raise wrong(argument, value, "one of " + ", ".join(map(repr, choices)))


def check_bool(argument: str, value: Any) -> None:
    """Raises unless ``value`` is True or False. Any text, even ``"no"``, would count as True."""
    if not isinstance(value, bool):
        raise wrong(argument, value, "True or False")


def check_tensor(
    argument: str, value: Any, shape: Sequence[int | str], kind: str = "", like: torch.Tensor | None = None
) -> None:
    """Raises unless ``value`` is a tensor of the shape and kind.

    Args:
        argument: Name of the argument.
        value: What was passed.
        shape: The length of each axis, or a letter if any length will do.
        kind: ``"float"``, ``"integer"`` or ``"bool"``; empty if any dtype will do.
        like: A tensor on whose device it must be; None if any device will do.
    """
    import torch

    if (
        not isinstance(value, torch.Tensor)
        or not is_dense(value)
        or value.ndim != len(shape)
        or any(isinstance(wanted, int) and got != wanted for got, wanted in zip(value.shape, shape, strict=True))
        or (kind and kind != _kind(value))
    ):
        axes = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise wrong(argument, value, f"{with_article(f'{kind} tensor'.strip())} of shape ({axes})")
    if like is not None:
        check_same_device(argument, value, like)


def check_same_device(argument: str, value: torch.Tensor, like: torch.Tensor) -> None:
    """Raises unless a tensor is on the device of another one."""
    if value.device != like.device:
        wanted = f"a tensor on {like.device}, like the other tensors"
        raise wrong(argument, Words(f"a tensor on {value.device}"), wanted)


def is_dense(value: torch.Tensor) -> bool:
    """Whether a tensor is an ordinary dense one: not sparse, nested or quantised."""
    import torch

    return not value.is_nested and value.layout == torch.strided and not value.is_quantized


def _kind(value: torch.Tensor) -> str:
    import torch

    if value.is_floating_point():
        return "float" if value.itemsize > 1 else "other"  # torch has almost no operations on 8-bit floats
    return {torch.bool: "bool"}.get(value.dtype, "other" if value.is_complex() else "integer")


def check_int(argument: str, value: Any, low: int, part: str = "") -> None:
    """Raises unless ``value`` is an integer, not a bool, of at least ``low`` that fits into 64 bits."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= int(value) < 2**63:
        raise wrong(argument, value, f"an integer >= {low}", part)


def check_number(argument: str, value: Any, low: float, high: float = math.inf, part: str = "") -> None:
    """Raises unless ``value`` is a finite number within [low, high]."""
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
    """Imports a module that an extra installs.

    Args:
        module: Its dotted name.
        purpose: What it is needed for, which the error says.
        extra: The extra that installs it.

    Raises:
        MissingPackageError: If it is not installed; the message says how to install it.
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

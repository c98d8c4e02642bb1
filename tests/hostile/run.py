"""Runs one hostile call and says what is wrong with its outcome."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch

from timm_mergemix import MergeMixError

from .case import Case
from .pool import copied, same

__all__ = ["attempt"]


def attempt(case: Case, changed: Mapping[str, Callable[[Any], Any]]) -> str:
    """What is wrong with a call after some arguments are changed; empty if it is refused by name or correct."""
    torch.manual_seed(0)
    given = case.given()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given |= {name: change(given[name]) for name, change in changed.items()}
        before = {name: copied(value) for name, value in given.items()}
        try:
            result = case.call(**given)
        except MergeMixError as error:
            return _wrong_name(error, [*given, *case.also]) or _touched(given, before)
        except Exception as error:
            of_user = (given[name] for name in changed if name in case.users)
            if any(isinstance(value, torch.Tensor) or callable(value) for value in of_user):
                return ""
            return f"raises {type(error).__name__}: {str(error).strip()[:150]!r}"
        try:
            case.check(result, **given)
        except Exception as error:
            return f"returns a wrong result: {type(error).__name__} {str(error).strip()[:150]!r}"
    return _touched(given, before)


def _wrong_name(error: MergeMixError, names: list[str]) -> str:
    """Raises unless an error names one of the arguments."""
    words = set(re.findall(r"\w+", error.argument))
    return "" if words & set(names) else f"names none of its arguments: {str(error)[:150]}"


def _touched(given: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    touched = [name for name, value in given.items() if before[name] is not None and not same(value, before[name])]
    return f"changes {', '.join(touched)}" if touched and touched != ["out"] else ""

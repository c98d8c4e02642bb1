"""`check_mixer`: tests the invariants of mixing on any mixer that is called like timm's or torchvision's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from ..errors import check_int, wrong
from .calls import MixerCall
from .mixing import MIXING_INVARIANTS, TAKES_EVERY_BATCH
from .properties import InvariantError, kept_random_states, smallest_failure
from .strategies import DTYPES, batches

__all__ = ["check_mixer", "chosen", "mixing_failures"]


def check_mixer(
    mixer: Any, num_classes: int | None = None, *, examples: int = 50, without: Sequence[str] = (), **options: Any
) -> None:
    """Checks the invariants of mixing on a mixer that is called like timm's ``Mixup`` or torchvision's ``v2.MixUp``.

    Each invariant is a property test. It runs on batches of many shapes, dtypes, labels and memory formats, and a
    failing batch is made as small as possible. The same call tries the same batches in every run. The mixer may refuse
    any dtype but the first with an error; if it takes a dtype, the mix must be right.

    Args:
        mixer: A function of images (B, C, H, W) and labels (B,) that returns mixed images and targets (B, num_classes).
        num_classes: The mixer's number of classes. None takes its attribute ``num_classes``, or else 5.
        examples: Number of batches per invariant.
        without: Names of invariants, from `MIXING_INVARIANTS`, that are not checked.
        **options: Arguments of `batches`, such as ``sizes=(2, 4, 6)`` for a mixer that needs even batches. By default,
            all float dtypes and uint8 are tried.

    Raises:
        InvariantError: If an invariant does not hold. This `AssertionError` gives its name and the smallest batch.
        MergeMixError: If an argument cannot be used.
    """
    for failure in mixing_failures(mixer, num_classes, examples=examples, without=without, **options):
        raise failure


def mixing_failures(
    mixer: Any, num_classes: int | None = None, *, examples: int = 50, without: Sequence[str] = (), **options: Any
) -> Iterator[InvariantError]:
    """Yields the failure of every invariant that a mixer violates; `check_mixer` explains the arguments."""
    if not callable(mixer):
        raise wrong("mixer", mixer, "a function that takes images and labels")
    check_int("examples", examples, 1)
    if num_classes is None:
        known = getattr(mixer, "num_classes", None)
        num_classes = known if isinstance(known, int) else 5
    call = MixerCall(mixer, num_classes)
    options = {"dtypes": DTYPES} | options
    batches(num_classes, **options)  # raises for invalid options before anything has run
    for name in chosen(MIXING_INVARIANTS, without):
        drawn = options | ({"dtypes": options["dtypes"][:1]} if name == TAKES_EVERY_BATCH else {})
        with kept_random_states(call.generator):
            check = partial(MIXING_INVARIANTS[name], call)
            failure = smallest_failure(name, check, batches(num_classes, **drawn), examples)
        if failure is not None:
            yield failure


def chosen(invariants: dict[str, Any], without: Sequence[str]) -> list[str]:
    """Returns the names of the invariants to check.

    Raises:
        MergeMixError: If ``without`` contains an unknown name.
    """
    if isinstance(without, str) or not isinstance(without, Sequence):
        raise wrong("without", without, "a list of names of invariants")
    for place, name in enumerate(without):
        if name not in invariants:
            raise wrong("without", name, f"one of {', '.join(map(repr, invariants))}", f"[{place}]")
    return [name for name in invariants if name not in without]

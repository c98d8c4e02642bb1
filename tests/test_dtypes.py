"""Every tensor argument of every public function takes each dtype correctly, or refuses it by name."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from timm_mergemix import MergeMixError

from .hostile.pool import DTYPES
from .hostile.run import attempt
from .test_hostile import CASES

FLOAT = {torch.float64, torch.float32, torch.float16, torch.bfloat16}
INTEGER = {dtype for dtype in DTYPES if not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)}
NARROW = {dtype for dtype in INTEGER if not str(dtype).endswith(("uint16", "uint32", "uint64"))}
BOOL, INT64, IMAGES, ANY = {torch.bool}, {torch.int64}, FLOAT | {torch.uint8}, set(DTYPES)
REAL = FLOAT | INTEGER | BOOL
FLOATS = (
    *("keys", "size", "x", "saliency", "partner_saliency", "area", "normal", "ratio", "lam", "noise", "margin"),
    *("logits", "winner_logits", "loser_logits", "probs", "outputs", "winner_logp", "loser_logp"),
    *("reference_winner_logp", "reference_loser_logp"),
)
# The dtypes that each argument takes; all others are refused. Exceptions are listed with the name of the call.
TAKES: Mapping[str, set[torch.dtype]] = {
    **dict.fromkeys(FLOATS, FLOAT),
    **dict.fromkeys(("labels", "index", "count", "boxes", "source", "tokens", "rows"), INTEGER),
    **dict.fromkeys(("mask", "padding", "valid", "winner_mask", "loser_mask"), BOOL),
    **dict.fromkeys(("images", "winner", "loser"), IMAGES),
    **dict.fromkeys(("a", "b"), REAL),
    **dict.fromkeys(("keep", "target", "functional.MergePlan source"), INT64),
    "functional.expand_mask mask": ANY,
    "functional.recover values": ANY,
    "functional.mix_images images, partners": ANY,
    "functional.blend_images images, partners": IMAGES,
    "functional.paste_resized images, partners": IMAGES,
    "functional.soft_masks masks": INTEGER | BOOL,
    "functional.visible_boxes boxes": FLOAT,
    "saliency_map x": IMAGES,
    "SoftTargetLoss target": FLOAT | BOOL,  # converted to integers, its numbers give a row of zeros
    "SoftTargetLoss of labels target": INTEGER,
    "DenseSoftTargetLoss target": INTEGER | BOOL,
    "DenseSoftTargetLoss of soft maps target": FLOAT,
    "Mixer with rows labels": FLOAT | BOOL,  # converted to integers, these are rows of zeros too
    "Mixer with masks masks": NARROW | BOOL,
    "Blend images": {torch.float32},  # must be the dtype of the original images
    "tune_r images": {torch.float32},  # must be the dtype of the model
    "viz.merge_grid images": {torch.float32},
}
# Tensors that must share a dtype are changed together.
TOGETHER = {f"functional.{name}": ("images", "partners") for name in ("blend_images", "mix_images", "paste_resized")}


def arguments() -> list[tuple[str, tuple[str, ...]]]:
    """The tensor arguments of each call whose dtype can be changed."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for name, case in CASES.items():
        together = TOGETHER.get(name, ())
        tensors = [argument for argument, value in case.given().items() if isinstance(value, Tensor)]
        found += [(name, (each,)) for each in tensors if each not in (*together, *case.users)]
        found += [(name, together)] if together else []
    return found


def is_taken(name: str, changed: tuple[str, ...], dtype: torch.dtype) -> bool:
    case = CASES[name]
    torch.manual_seed(0)
    given = case.given()
    try:
        case.call(**given | {argument: given[argument].to(dtype) for argument in changed})
    except MergeMixError:
        return False
    return True


@pytest.mark.parametrize(("name", "changed"), arguments(), ids=lambda part: part if isinstance(part, str) else part[0])
def test_each_dtype_is_correct_or_refused_by_name(name: str, changed: tuple[str, ...]) -> None:
    for dtype in DTYPES:
        said = attempt(CASES[name], {argument: lambda value, dtype=dtype: value.to(dtype) for argument in changed})
        assert not said, f"{dtype}: {said}"
    whole = ", ".join(changed)
    wanted = TAKES.get(f"{name} {whole}") or TAKES[whole]
    assert {dtype for dtype in DTYPES if is_taken(name, changed, dtype)} == wanted


@pytest.mark.parametrize(("place", "wanted"), [(0, IMAGES), (1, INTEGER)], ids=["images", "labels"])
@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("transforms.")])
def test_each_dtype_of_the_inputs_of_a_transform_is_correct_or_refused_by_name(
    name: str, place: int, wanted: set[torch.dtype]
) -> None:
    taken = set()
    for dtype in DTYPES:

        def change(inputs: tuple[Tensor, ...], dtype: torch.dtype = dtype) -> tuple[Tensor, ...]:
            return tuple(part.to(dtype) if number == place else part for number, part in enumerate(inputs))

        said = attempt(CASES[name], {"inputs": change})
        assert not said, f"{dtype}: {said}"
        given = CASES[name].given()
        try:
            CASES[name].call(**given | {"inputs": change(given["inputs"])})
        except MergeMixError:
            continue
        taken.add(dtype)
    assert taken == wanted


def test_the_table_of_exceptions_has_no_unused_line() -> None:
    asked = {entry for name, changed in arguments() for entry in (f"{name} {', '.join(changed)}", ", ".join(changed))}
    assert set(TAKES) <= asked

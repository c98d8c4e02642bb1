"""Builds one model, makes it small and runs the checks on it."""

from __future__ import annotations

import time
import warnings

import torch
from torch import nn

import timm_mergemix as mm

from ..require import require
from .checks import R, check_gradients, check_identity, check_info, check_merged, check_padding, check_saliency
from .inputs import Input, inputs
from .names import full_size, is_plain
from .passes import Plain, run
from .redraw import redraw
from .row import Row
from .shrink import changed_options, shrink
from .snapshot import difference, snapshot


def examine(name: str) -> Row:
    """Runs all checks of one model; never raises."""
    warnings.simplefilter("ignore")
    row, start = Row(name), time.perf_counter()
    try:
        full = full_size(name)
    except Exception as error:  # this release of timm may lack the model, or a package that it needs
        row.status, row.reason = "refused", f"timm cannot build it: {type(error).__name__}: {error}"
        return row
    with row.check("build"):
        row.cls = type(full).__name__
        if is_plain(full):
            model = redraw(shrink(name, full))
            changed = changed_options(full, model)
            if changed:
                row.failures["options"] = "shrinking changed " + "; ".join(changed)[:400]
            _examine_model(row, model)
        else:
            row.status = "not plain"
    row.status = "failed" if row.failures else row.status
    row.seconds = round(time.perf_counter() - start, 2)
    return row


def _examine_model(row: Row, model: nn.Module) -> None:
    cases = inputs(model)
    plain = {}
    for case, x in cases.items():
        with row.check(f"{case}: timm's own forward"):
            plain[case] = Plain(model, x)
    try:
        mm.unpatch(mm.patch(model, 0))
    except mm.MergeMixError as error:
        row.status, row.reason = "refused", str(error).split("is not supported: ")[-1]
        return
    for case, expected in plain.items():
        _examine_case(row, case, model, cases[case], expected)


def _examine_case(row: Row, case: str, model: nn.Module, x: Input, plain: Plain) -> None:
    before = snapshot(model)
    if not _refuses(row, case, model, x):
        _check_case(row, case, model, x, plain)
    with row.check(f"{case}: unpatch"):
        mm.unpatch(model)
        wrong = difference(before, snapshot(model))
        require(not wrong, wrong)
        require(torch.equal(run(model, x), plain.out), "output differs")


def _refuses(row: Row, case: str, model: nn.Module, x: Input) -> bool:
    """Whether the patched model refuses a padded batch with an error. The checks find any other error."""
    if not isinstance(x, dict):
        return False
    try:
        run(mm.patch(model, R), x)
    except mm.MergeMixError as error:
        row.notes[f"{case}: refused"] = str(error)
        return True
    except Exception:
        return False
    return False


def _check_case(row: Row, case: str, model: nn.Module, x: Input, plain: Plain) -> None:
    with row.check(f"{case}: r=0"):
        mm.patch(model, 0)
        close = check_identity(model, x, plain)
        if close:
            row.notes[f"{case}: r=0"] = close
    with row.check(f"{case}: merged"):
        mm.patch(model, R)
        check_merged(model, x, plain)
    with row.check(f"{case}: gradients"):
        check_gradients(model, x, plain)
    if isinstance(x, dict):
        with row.check(f"{case}: padding"):
            check_padding(model, x)
    else:
        with row.check(f"{case}: merge_info"):
            check_info(model, plain)
        with row.check(f"{case}: saliency"):
            check_saliency(row, model, x)

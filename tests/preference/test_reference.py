"""The reference model of DPO: there where it is needed, and in eval mode for whoever compares with it."""

from __future__ import annotations

import pytest
from torch import nn

from timm_mergemix import MergeMixError
from timm_mergemix.preference.reference import check_reference, in_eval_mode

MODEL, OTHER = nn.Linear(2, 2), nn.Linear(2, 2)


@pytest.mark.parametrize(("reference", "variant"), [(OTHER, "dpo"), (None, "simpo"), (None, "hinge")])
def test_a_reference_stands_beside_dpo_alone(reference, variant):
    check_reference(MODEL, reference, variant)


@pytest.mark.parametrize(
    ("reference", "variant", "message"),
    [
        (MODEL, "dpo", r"^reference: got a module of class Linear, wanted a frozen copy of the model"),
        (None, "dpo", r"^reference: got None, wanted a frozen model"),
        (OTHER, "simpo", r"^reference: got .*, wanted None, since the variant is 'simpo'"),
    ],
)
def test_what_does_not_fit_is_named(reference, variant, message):
    with pytest.raises(MergeMixError, match=message):
        check_reference(MODEL, reference, variant)


def test_a_model_in_training_is_seen_in_eval_mode_and_stays_as_it_is():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2)).train()
    view = in_eval_mode(model)
    assert not any(module.training for module in view.modules())
    assert all(module.training for module in model.modules())
    assert in_eval_mode(model.eval()) is model

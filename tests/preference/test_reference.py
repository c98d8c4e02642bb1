"""The reference model of DPO must be given exactly when it is needed, and runs in eval mode."""

from __future__ import annotations

import pytest
from torch import nn

from timm_mergemix import MergeMixError
from timm_mergemix.preference.reference import check_reference, in_eval_mode

MODEL, OTHER = nn.Linear(2, 2), nn.Linear(2, 2)


@pytest.mark.parametrize(("reference", "variant"), [(OTHER, "dpo"), (None, "simpo"), (None, "hinge")])
def test_a_reference_with_dpo_or_none_with_other_losses_is_accepted(reference, variant):
    check_reference(MODEL, reference, variant)


@pytest.mark.parametrize(
    ("reference", "variant", "message"),
    [
        (MODEL, "dpo", r"^reference: got a module of class Linear, wanted a frozen copy of the model"),
        (None, "dpo", r"^reference: got None, wanted a frozen model"),
        (OTHER, "simpo", r"^reference: got .*, wanted None, since the variant is 'simpo'"),
    ],
)
def test_a_missing_superfluous_or_identical_reference_is_refused(reference, variant, message):
    with pytest.raises(MergeMixError, match=message):
        check_reference(MODEL, reference, variant)


def test_a_model_in_training_mode_gets_an_eval_view_and_is_unchanged():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2)).train()
    view = in_eval_mode(model)
    assert not any(module.training for module in view.modules())
    assert all(module.training for module in model.modules())
    assert in_eval_mode(model.eval()) is model

"""The fitted temperature is the one with which the labels were drawn."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.metrics import fit_temperature

from ..mix.batches import quick


@quick
@given(st.floats(0.2, 5), st.integers(0, 100))
def test_the_temperature_of_drawn_labels_is_found(temperature: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(4000, 5, generator=generator)
    labels = (logits / temperature).softmax(1).multinomial(1, generator=generator)[:, 0]
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.2)
    best = F.cross_entropy(logits / found, labels)
    for other in (0.9 * found, 1.1 * found):
        assert best <= F.cross_entropy(logits / other, labels)


def test_the_temperature_stays_within_its_limits() -> None:
    logits = torch.eye(3)
    assert fit_temperature(logits, torch.arange(3)) == pytest.approx(0.01)
    assert fit_temperature(logits, torch.tensor([1, 2, 0])) == pytest.approx(100)


def test_a_logit_that_is_not_finite_gives_nan() -> None:
    assert math.isnan(fit_temperature(torch.tensor([[1.0, float("nan")]]), torch.tensor([0])))


def test_bad_input_is_refused() -> None:
    with pytest.raises(MergeMixError, match="logits: got no sample"):
        fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(MergeMixError, match="labels: "):
        fit_temperature(torch.zeros(2, 3), torch.tensor([0, 3]))
    with pytest.raises(MergeMixError, match="labels"):
        fit_temperature(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64))

"""The criterion of a script: the look of a target says which loss it is, and the loss is that of the library."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.loss import BinaryCrossEntropy, JsdCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch import nn

from timm_mergemix import MergeMixError, Mixup, PreferenceLoss, SoftTargetLoss
from timm_mergemix.launch.criterion import TERMS, MixCriterion, pack, soft_criterion, unpack
from timm_mergemix.mix.batch import MixedBatch
from timm_mergemix.preference.config import PreferenceConfig

from ..merge.reference import randn

SETTINGS = PreferenceConfig(weight=0.7, beta=1.5, gamma=2.0, variant="simpo")
LOSS = {"weight": 0.7, "beta": 1.5, "gamma": 2.0, "variant": "simpo"}


def mixed(batch: int = 6, classes: int = 5, seed: int = 0, prob: float = 1.0) -> MixedBatch:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (batch,), generator=generator)
    mixer = Mixup(num_classes=classes, mode="elem", prob=prob, generator=generator)
    return mixer.mix(torch.rand(batch, 3, 8, 8, generator=generator), labels)


@settings(deadline=None, max_examples=30)
@given(batch=st.integers(1, 9), classes=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_what_is_packed_comes_back(batch: int, classes: int, seed: int) -> None:
    made = mixed(batch, classes, seed)
    targets, labels, mass = unpack(pack(made))
    assert torch.equal(targets, made.targets)
    assert torch.equal(labels, made.labels)
    assert torch.equal(mass, made.mass)


def test_labels_survive_many_classes() -> None:
    made = mixed(4, 30_000)
    assert torch.equal(unpack(pack(made))[1], made.labels)


@pytest.mark.parametrize("bce", [False, True])
def test_it_is_the_preference_loss(bce: bool) -> None:
    made, logits = mixed(), randn(12, 5).requires_grad_()
    criterion = MixCriterion(BinaryCrossEntropy() if bce else nn.CrossEntropyLoss(), SETTINGS)
    losers, winners = logits.chunk(2)
    wanted = PreferenceLoss(**LOSS, soft_target=SoftTargetLoss(bce=bce))(winners, losers, made)
    loss = criterion(logits, pack(made))
    torch.testing.assert_close(loss, wanted.total)
    grads = [torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (loss, wanted.total)]
    torch.testing.assert_close(*grads)
    means = criterion.means()
    for name, value in zip(TERMS, wanted[2:], strict=True):
        assert means[name] == pytest.approx(value.item(), rel=1e-4, abs=1e-6)


def test_terms_are_means_over_pairs_and_start_anew() -> None:
    criterion, logits = MixCriterion(nn.CrossEntropyLoss(), SETTINGS), randn(12, 5)
    batches = [mixed(seed=seed) for seed in range(3)] + [mixed(prob=0.0)]
    for batch in batches:
        criterion(logits, pack(batch))
    losers, winners = logits.repeat(4, 1, 1).unflatten(1, (2, 6)).unbind(1)
    labels, mass = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("labels", "mass"))
    wanted = PreferenceLoss(**LOSS).compare(winners.flatten(0, 1), losers.flatten(0, 1), labels, mass)
    assert list(criterion.means().values()) == pytest.approx([value.item() for value in wanted], rel=1e-4, abs=1e-5)
    criterion.start_epoch()
    assert all(math.isnan(value) for value in criterion.means().values())


@pytest.mark.parametrize(
    "plain", [nn.CrossEntropyLoss(), LabelSmoothingCrossEntropy(0.3), SoftTargetCrossEntropy(), BinaryCrossEntropy(0.3)]
)
def test_soft_targets_are_not_smoothed_again(plain: nn.Module) -> None:
    logits, targets = randn(6, 5), mixed().targets
    if isinstance(plain, BinaryCrossEntropy):
        wanted = nn.functional.binary_cross_entropy_with_logits(logits, targets)
    else:
        wanted = -(targets * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(MixCriterion(plain, None)(logits, targets), wanted)


def test_labels_go_to_the_scripts_own_criterion() -> None:
    plain, logits, labels = LabelSmoothingCrossEntropy(0.3), randn(6, 5), torch.arange(6) % 5
    assert torch.equal(MixCriterion(plain, None)(logits, labels), plain(logits, labels))


@pytest.mark.parametrize("plain", [JsdCrossEntropy(), nn.CrossEntropyLoss(label_smoothing=0.1), nn.MSELoss(), len])
def test_a_criterion_of_unknown_meaning_is_refused(plain: nn.Module) -> None:
    with pytest.raises(MergeMixError, match="criterion: the script's is"):
        soft_criterion(plain)


def test_it_saves_nothing() -> None:
    assert MixCriterion(nn.CrossEntropyLoss(), SETTINGS).state_dict() == {}

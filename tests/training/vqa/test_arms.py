"""Arms, their settings, and their partners with another answer."""

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.training.vqa.arms import ARMS, VqaSettings, pair_mixer, preference_of
from timm_mergemix.vlm.batches import examples_of

from ...models import tiny
from .made import data


def test_the_arms_are_plain_fine_tuning_mergemix_and_half_the_tokens() -> None:
    assert [(arm.name, arm.kind, arm.keep) for arm in ARMS] == [
        ("sft", None, 1.0),
        ("mergemix", "mergemix", 1.0),
        ("half", "mergemix", 0.5),
    ]


def test_an_arm_without_a_kind_has_no_preference() -> None:
    assert [preference_of(arm, VqaSettings(weight=0.3)).weight for arm in ARMS] == [0.0, 0.3, 0.3]


def test_the_loss_has_the_values_of_the_settings() -> None:
    loss = preference_of(ARMS[1], VqaSettings(beta=2.0, gamma=0.5, variant="hinge", detach_loser=True))
    assert (loss.beta, loss.gamma, loss.variant) == (2.0, 0.5, "hinge")
    assert loss.detach_loser and not loss.detach_winner
    plain = preference_of(ARMS[1], VqaSettings())
    assert (plain.beta, plain.gamma, plain.variant, plain.detach_loser) == (1.0, 1.0, "simpo", False)


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 0},
        {"epochs": -1.5},
        {"batch_size": 0},
        {"lr": -1e-3},
        {"beta": 0},
        {"gamma": -1},
        {"weight": -0.1},
        {"alpha": 0},
        {"seed": -1},
        {"seed": 0.5},
        {"variant": "dpo"},  # would need a second model
        {"detach_loser": 1},
    ],
)
def test_bad_settings_are_refused_by_name(values: dict[str, float]) -> None:
    (name,) = values
    with pytest.raises(MergeMixError, match=f"^{name}: got"):
        VqaSettings(**values)


def test_a_part_of_an_epoch_can_be_trained() -> None:
    assert VqaSettings(epochs=0.001).epochs == 0.001


@pytest.mark.parametrize("kind", ["mergemix", "random", "cutmix", "mixup"])
def test_partners_have_another_answer_and_another_picture(kind: str) -> None:
    made = data(6)
    mixer = pair_mixer(kind, tiny(), alpha=0.7, generator=torch.Generator().manual_seed(0))
    assert (mixer.saliency is None) == (kind not in ("mergemix", "random")) and mixer.config.alpha == 0.7
    pairing = mixer.pair(examples_of(made.train(range(24)), 2, None, False))
    assert len(pairing) == 24  # each answer is wrong for some other drawing, even yes or no
    for own, other in zip(pairing.own, pairing.partners, strict=True):
        text, answer, shape, colour = own.about
        _, _, other_shape, other_colour = other.about
        assert own.picture != other.picture
        if "what shape" in text:
            assert other_shape != shape == answer
        elif "what color" in text:
            assert other_colour != colour == answer
        elif "not" in text:
            assert other_colour != colour  # the answer to "is there not a red shape?" is no if it is red
        else:
            assert other_shape in text  # the answer to "is there a circle?" is no if there is none

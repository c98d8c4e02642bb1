"""The measures of a trained model are correct and leave the model unchanged."""

import pytest
import torch
from torch import nn

from benchmarks.study.measures import _changed, measure_others, measure_plain, measure_robustness, measure_scaled
from benchmarks.study.places import HERE
from timm_mergemix import patch

from .made import set_up

CPU = torch.device("cpu")


class Knows(nn.Module):
    """Classifies stripes correctly, with a given confidence."""

    def __init__(self, certainty: float) -> None:
        super().__init__()
        self.certainty = certainty

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        upper = (x[:, :, :8].mean(dim=(1, 2, 3)) > x[:, :, 8:].mean(dim=(1, 2, 3))).float()
        return self.certainty * torch.stack([upper, 1 - upper], dim=1)


def test_an_underconfident_model_is_badly_calibrated_until_it_is_scaled() -> None:
    setup = set_up(0, CPU, HERE)
    found = measure_scaled(Knows(0.1), setup.test.all, setup.val.all, CPU)
    assert found["top1"] == 1
    assert found["ece"] == pytest.approx(1 - torch.tensor([0.1, 0.0]).softmax(0)[0].item(), abs=1e-5)
    assert found["temperature"] < 0.1 and found["ece_scaled"] < 0.01
    plain = measure_plain(Knows(0.1), setup.test.all, CPU)
    assert plain == {name: found[name] for name in plain}


def test_robustness_is_reproducible_and_leaves_the_model_unchanged() -> None:
    setup = set_up(0, CPU, HERE)
    state = torch.get_rng_state()
    first = measure_robustness(setup.model, setup.test.all, setup.statistics, CPU)
    again = measure_robustness(setup.model, setup.test.all, setup.statistics, CPU)
    assert first == again and torch.equal(state, torch.get_rng_state())
    corrupted = {"noise", "blur", "contrast", "random patches hidden", "salient patches hidden"}
    assert set(first) == {*corrupted, "fog", "rain", "snow", "unmerged", "merged to half"}


def test_other_images_are_measured_by_name() -> None:
    setup = set_up(0, CPU, HERE)
    wrong = [(images.flip(2), labels) for images, labels in setup.test.all]
    assert measure_others(Knows(1.0), {"right": setup.test.all, "turned": wrong}, CPU) == {"right": 1, "turned": 0}


def test_a_merging_model_is_measured_merged_then_unmerged_then_merged_to_half() -> None:
    setup = set_up(0, CPU, HERE)
    tokens: list[int] = []
    setup.model.blocks[-1].register_forward_hook(lambda module, args, output: tokens.append(args[0].shape[1]))
    measure_robustness(patch(setup.model, 2), setup.test.all, setup.statistics, CPU)
    assert list(dict.fromkeys(tokens[-9:])) == [13, 17, 11]  # 16 patches and a class token enter the first of 3 blocks


def test_images_are_moved_to_the_device_of_the_model() -> None:
    where = []

    class Images:
        def to(self, device: torch.device) -> str:
            where.append(device)
            return "moved"

    changed = list(_changed([(Images(), 0)], lambda images: images, torch.device("meta")))
    assert changed == [("moved", 0)] and where == [torch.device("meta")]

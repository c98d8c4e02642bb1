"""The schedule of the learning rate, weight decay, and the settings of both."""

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.training.optim import Optimisation, build_optimizer


def rates(settings: Optimisation, steps: int) -> list[float]:
    model = torch.nn.Linear(2, 2)
    optimizer, scheduler = build_optimizer(model, settings, steps)
    seen = []
    for update in range(settings.epochs * steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step_update(update + 1)
    return seen


def test_warm_up_then_cosine() -> None:
    seen = rates(Optimisation(epochs=10, lr=1e-2, warmup_epochs=2, min_lr=1e-4), 5)
    peak = seen.index(max(seen))
    assert seen[0] == pytest.approx(1e-4) and 9 <= peak <= 11 and max(seen) == pytest.approx(1e-2, rel=0.1)
    assert seen[:peak] == sorted(seen[:peak]) and seen[peak:] == sorted(seen[peak:], reverse=True)
    assert seen[-1] < 2e-4


def test_a_single_epoch_has_no_warm_up() -> None:
    assert rates(Optimisation(epochs=1, lr=1e-2), 4)[0] == pytest.approx(1e-2)


def test_biases_are_not_decayed() -> None:
    optimizer, _ = build_optimizer(torch.nn.Linear(2, 2), Optimisation(epochs=1, weight_decay=0.1), 1)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert sorted(group["weight_decay"] for group in optimizer.param_groups) == [0.0, 0.1]


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"warmup_epochs": -1},
        {"lr": -1.0},
        {"lr": float("nan")},
        {"weight_decay": -0.1},
        {"smoothing": 2.0},
        {"clip_grad": -1.0},
    ],
)
def test_bad_numbers(bad: dict[str, float]) -> None:
    with pytest.raises(MergeMixError, match=next(iter(bad))):
        Optimisation(**bad)

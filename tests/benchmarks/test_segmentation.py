"""The segmentation benchmark trains each way of mixing and resumes; its page has the recorded figures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import segmentation
from benchmarks.command import main
from benchmarks.drawings import Drawings
from benchmarks.records import Records
from benchmarks.segmentation import ARMS, Net, draw, fit, iou, table

ROOT = Path(__file__).parents[2]


def squares(count: int, seed: int = 0) -> Drawings:
    """Bright squares on a dark ground."""
    generator = torch.Generator().manual_seed(seed)
    images, masks = 0.1 * torch.rand(count, 3, 64, 64, generator=generator), torch.zeros(count, 64, 64).long()
    for row in range(count):
        top, left = torch.randint(0, 40, (2,), generator=generator).tolist()
        masks[row, top : top + 24, left : left + 24] = 1
    return Drawings((images + 0.8 * masks.unsqueeze(1)).clamp(0, 1), masks)


def test_the_network_gives_logits_of_two_classes() -> None:
    assert Net(4)(torch.rand(2, 3, 64, 64)).shape == (2, 2, 64, 64)


@pytest.mark.parametrize("arm", ARMS)
def test_the_network_learns_with_each_way_of_mixing(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "BATCH", 4)
    monkeypatch.setattr(segmentation, "LEARNING_RATE", 0.02)
    model = fit(arm, 0, squares(16), epochs=15)
    assert not model.training and iou(model, squares(8, seed=1)) > 0.5


def test_training_is_reproducible_from_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "BATCH", 4)
    one, same, other = (fit("CutMix", seed, squares(8), 1).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


class Everything(torch.nn.Module):
    """Classifies every pixel as the object."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(len(x), 2, *x.shape[2:])


def test_iou_is_intersection_over_union() -> None:
    data = squares(3)
    assert iou(Everything(), data) == pytest.approx(data.masks.float().mean().item())


def test_the_picture_has_one_column_per_way_of_mixing() -> None:
    figure = draw(squares(3), count=2)
    assert len(figure.axes) == 4 * len(ARMS)
    assert [axis.get_title().replace("\n", " ") for axis in figure.axes[: len(ARMS)]] == list(ARMS)


def test_finished_trainings_are_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs: list[tuple[str, int]] = []
    monkeypatch.setattr(segmentation, "split_drawings", lambda *_: (squares(4), squares(2, seed=1)))
    monkeypatch.setattr(segmentation, "fit", lambda arm, seed, *_: runs.append((arm, seed)) or Everything())
    command = ["--out", str(tmp_path), "--seeds", "0", "1"]
    assert main(segmentation, command) == 0
    assert runs == [(arm, seed) for seed in (0, 1) for arm in ARMS]
    shown = capsys.readouterr().out
    assert [line.split(" | ")[0].strip("| ") for line in shown.splitlines()[2:]] == list(ARMS)
    assert main(segmentation, command) == 0 and len(runs) == 2 * len(ARMS)
    assert capsys.readouterr().out == shown
    assert main(segmentation, [*command, "--epochs", "3"]) == 0 and len(runs) == 4 * len(ARMS)


def test_the_guide_has_the_committed_figures() -> None:
    path = ROOT / "benchmarks" / "results" / "segmentation.jsonl"
    records = Records(path, ("arm", "seed", "settings"), ("iou", "seconds")).read()
    assert len(records) == 3 * len(ARMS)
    page = (ROOT / "docs" / "guide" / "dense-labels.md").read_text()
    assert table(records) in page
    assert f"{sum(parameter.numel() for parameter in Net().parameters()):,} weights" in page

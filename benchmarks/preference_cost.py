"""What a step of preference training costs: ratios of medians of interleaved steps in one process.

    python benchmarks/preference_cost.py --model deit_tiny_patch16_224 --batch-size 16 --r 13

Compares whole steps: plain MergeMix; preference whose winner's pass yields the saliency; preference with a
saliency pass of its own. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import timm
import torch

import timm_mergemix as mm
from timm_mergemix.cli.report import markdown_table


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="deit_tiny_patch16_224")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--r", type=int, default=13)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    model = mm.patch(timm.create_model(args.model, num_classes=100), args.r).train()
    images, labels = torch.randn(args.batch_size, 3, 224, 224), torch.randint(100, (args.batch_size,))
    steps = {
        "MergeMix": trainer(model, 0.0, None),
        "preference, saliency='winner'": trainer(model, 1.0, "winner"),
        "preference, saliency='separate'": trainer(model, 1.0, "separate"),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.rounds + 2):
        for name, step in steps.items():
            start = time.perf_counter()
            step(images, labels)
            times[name].append(time.perf_counter() - start)
    rows = [row(name, seconds[2:], times["MergeMix"][2:]) for name, seconds in times.items()]
    print(markdown_table(("step", "seconds (median)", "over MergeMix", "95 % interval"), rows))


def trainer(
    model: torch.nn.Module, weight: float, saliency: str | None
) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """A whole training step on MergeMix mixes only."""
    mix = mm.MergeMix(model, num_classes=100, mergemix_prob=1.0)
    step = mm.PreferenceStep(model, mix, mm.PreferenceLoss(weight=weight), saliency=saliency)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)

    def train(images: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad()
        step(images, labels).terms.total.backward()
        optimizer.step()

    return train


def row(name: str, seconds: list[float], base: list[float]) -> list[str]:
    """Median, its ratio to the base's, and the bootstrap interval of the ratio over rounds."""
    ratio = statistics.median(seconds) / statistics.median(base)
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(len(seconds), (2000, len(seconds)), generator=generator)
    pairs = torch.tensor([seconds, base])[:, draws].median(dim=-1).values
    low, high = (pairs[0] / pairs[1]).quantile(torch.tensor([0.025, 0.975])).tolist()
    return [name, f"{statistics.median(seconds):.3f}", f"{ratio:.2f}", f"{low:.2f} to {high:.2f}"]


if __name__ == "__main__":
    main()

"""What the preference term does: MergeMix with and without it, some seeds, on held-out pairs of real images.

    python benchmarks/preference.py --out runs/preference --weights 0 1 --seeds 0 1 2

Trains the demo's small ViT on Fashion-MNIST (or --data). Each run is one line of a
results file; what is there already is not trained again. Settings are chosen with --split val; the test images are read
once, at the end, with --split test.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

import timm_mergemix as mm
from timm_mergemix.cli.report import markdown_table
from timm_mergemix.metrics import brier_score, calibration_error
from timm_mergemix.training.compare import EVALUATION_BATCH, prepare, training_batches
from timm_mergemix.training.evaluate import predict, top1
from timm_mergemix.training.images import MemoryBatches, Statistics
from timm_mergemix.training.loop import fit
from timm_mergemix.training.methods import METHODS, DemoSettings
from timm_mergemix.training.mixers import MixOptions
from timm_mergemix.training.objective import PreferenceOptions
from timm_mergemix.training.pairs import evaluate_pairs
from timm_mergemix.training.progress import Reporter
from timm_mergemix.training.sources import DemoData, draw_splits, find_source

MERGEMIX = next(method for method in METHODS if method.name == "mergemix")
MIXING = MixOptions()  # every batch: an unmixed one has no loser
COLUMNS = {
    "top1": "top-1 (%)",
    "ece": "ECE, equal width",
    "ece_mass": "ECE, equal mass",
    "brier": "Brier score",
    "mergemix_accuracy": "preference accuracy, MergeMix (%)",
    "mergemix_margin": "reward margin, MergeMix",
    "mergemix_faint_accuracy": "preference accuracy, faint (%)",
    "mergemix_faint_margin": "reward margin, faint",
    "mergemix_correlation": "rank correlation of ratio and p(y_i | mix), MergeMix",
    "cutmix_accuracy": "preference accuracy, CutMix (%)",
    "cutmix_margin": "reward margin, CutMix",
    "cutmix_correlation": "rank correlation, CutMix",
    "seconds": "seconds an epoch",
}


def main() -> None:
    """Trains what is missing and prints the table."""
    args = parse()
    torch.set_num_threads(1)
    reporter = Reporter(progress=args.progress)
    data = draw_splits(find_source(args.data, reporter.say), args.train_size, 2000, 10000, 0)
    args.out.mkdir(parents=True, exist_ok=True)
    results = args.out / f"results-{args.split}.jsonl"
    for seed in args.seeds:
        for weight in args.weights:
            options = PreferenceOptions(weight, args.beta, args.gamma, args.variant, args.saliency)
            if weight == 0:  # without the term its settings make no difference
                options = PreferenceOptions()
            sizes = {"epochs": args.epochs, "train_size": args.train_size, "data": data.source.name}
            key = {"seed": seed, **sizes, **asdict(options)}
            if not any(line["key"] == key for line in read(results)):
                line = {"key": key, **train(data, options, seed, args, reporter)}
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
    print(table(read(results)))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/preference"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 1.0])
    parser.add_argument("--beta", type=float, default=1.0)
    parser.add_argument("--gamma", type=float, default=1.0)
    parser.add_argument("--variant", default="simpo")
    parser.add_argument("--saliency", choices=("winner", "separate"), default="winner")
    parser.add_argument("--epochs", type=int, default=DemoSettings().epochs)
    parser.add_argument("--train-size", type=int, default=2000)
    parser.add_argument("--progress", action=argparse.BooleanOptionalAction)
    return parser.parse_args()


def train(
    data: DemoData, options: PreferenceOptions, seed: int, args: argparse.Namespace, reporter: Reporter
) -> dict[str, Any]:
    """One run and its evaluation."""
    settings = DemoSettings(epochs=args.epochs, seed=seed)
    method = replace(MERGEMIX, name=f"weight-{options.weight:g}", title=f"weight {options.weight:g}, seed {seed}")
    device, statistics_ = torch.device("cpu"), Statistics.of(data.train.images)
    run = prepare(method, data, settings, args.out, device, options, MIXING)
    held_out = MemoryBatches(data.val if args.split == "val" else data.test, EVALUATION_BATCH, statistics_)
    fit(run, training_batches(data, settings, statistics_, device), held_out, reporter)
    logits, labels = predict(run.model, held_out, device)
    probs = logits.softmax(dim=1)
    found = {
        "top1": 100 * top1(logits, labels),
        "ece": calibration_error(probs, labels).item(),
        "ece_mass": calibration_error(probs, labels, binning="mass").item(),
        "brier": brier_score(probs, labels).item(),
        "seconds": statistics.median(record["seconds"] for record in run.history),
    }
    for kind, mixer in mixers(run.model, len(data.source.classes)).items():
        pairs = asdict(evaluate_pairs(run.model, mixer, held_out, device))
        found |= {f"{kind}_{name}": 100 * value if "accuracy" in name else value for name, value in pairs.items()}
    return found


def mixers(model: torch.nn.Module, classes: int) -> dict[str, mm.Mixer]:
    """Who makes the held-out pairs; the ratios are those of the same draws for every model."""
    shared: dict[str, Any] = {"num_classes": classes, "mode": "elem"}
    return {
        "mergemix": mm.MergeMix(model, mergemix_prob=1.0, generator=torch.Generator().manual_seed(1), **shared),
        "cutmix": mm.create_mixer("cutmix", generator=torch.Generator().manual_seed(1), **shared),
    }


def read(path: Path) -> list[dict[str, Any]]:
    """The finished runs."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def table(lines: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over seeds, a column for each setting."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        key = line["key"]
        settings = (
            f"{key['variant']} {key['weight']:g}, beta {key['beta']:g}, gamma {key['gamma']:g}, {key['saliency']}"
        )
        name = "without" if key["weight"] == 0 else settings
        groups.setdefault(f"{name} ({key['data']}, {key['train_size']}, {key['epochs']} ep.)", []).append(line)
    rows = [
        [title, *(spread([line[name] for line in group]) for group in groups.values())]
        for name, title in COLUMNS.items()
    ]
    return markdown_table(["", *(f"{name}, {len(group)} seeds" for name, group in groups.items())], rows)


def spread(values: list[float]) -> str:
    """Mean, and standard deviation where there are several."""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


if __name__ == "__main__":
    main()

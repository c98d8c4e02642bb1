"""Writes the tables of the page on r and of the README, and the picture of the page, from committed records."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.choosing_r import records_in
from benchmarks.command import main
from benchmarks.performance_page import fill
from benchmarks.records import Record, Records
from timm_mergemix.cli.pictures import save_figure
from timm_mergemix.cli.report import markdown_table
from timm_mergemix.errors import need
from timm_mergemix.files.writing import write_file

__all__ = ["GO_ON", "SUMMARY", "Measured", "add_arguments", "draw", "load", "run", "tables"]

SUMMARY = "Write the tables and the picture that show what r costs, from committed records."
GO_ON = "Start again with"
ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "docs" / "guide" / "choosing-r.md", ROOT / "README.md")
PICTURE = ROOT / "docs" / "images" / "chart-choosing-r.png"
DINOV2, DINOV2_TITLE = "vit_small_patch14_dinov2", "DINOv2 ViT-S/14"
# What the README shows of the measured models; the page shows all.
FRONT = {("deit_small_patch16_224", 8), ("deit_small_patch16_224", 13), ("deit_small_patch16_224", 16)}
FRONT |= {("vit_base_patch16_224", 13)}


class Measured(NamedTuple):
    """What is known about the cost of r.

    Attributes:
        speed: Throughput by model and r, measured here.
        published: Throughput and accuracy that Bolya et al. report.
        features: Accuracy and similarity of the features of DINOv2, measured here.
    """

    speed: list[Record]
    published: list[Record]
    features: list[Record]


def load(folder: Path) -> Measured:
    """The records of a folder."""
    published = Records(folder / "published.jsonl", ("model", "size", "r"), ("tokens", "images_per_second", "top1"))
    features = Records(folder / "off_the_shelf.jsonl", ("matching", "prop_attn", "r"), ("knn", "similarity")).read()
    return Measured(
        records_in(folder / "choosing_r.jsonl").read(),
        published.read(),
        [each for each in features if each["prop_attn"] and each["matching"] in ("none", "bipartite")],
    )


def tables(measured: Measured) -> dict[str, str]:
    """The tables by name, in Markdown."""
    header = ["model", "r", "tokens", "speed-up", "95 % interval"]
    speed = [[*_model(each), _arrow(each["tokens"]), *_speedup(each)] for each in measured.speed]
    return {
        "speed by r": markdown_table(header, speed),
        "published": markdown_table(
            ["model", "r", "tokens", "speed-up on a V100", "top-1 on ImageNet-1k", "change"],
            [_published(each) for each in measured.published],
        ),
        "features by r": markdown_table(
            ["r", "tokens", "speed-up", "accuracy of the nearest neighbours", "similarity of the features"],
            _features(measured),
        ),
        "front": markdown_table(["model", "r", "tokens", "speed", "accuracy"], _front(measured)),
    }


def _model(record: Record) -> list[str]:
    name = DINOV2_TITLE if record["model"] == DINOV2 else record["model"].removesuffix("_patch16_224")
    return [f"{name}, {record['size']} px", str(record["r"])]


def _arrow(values: list[Any], digits: int = 0) -> str:
    """From what to what."""
    return " → ".join(f"{value:.{digits}f}" for value in values)


def _speedup(record: Record) -> list[str]:
    value, low, high = record["speedup"]
    return [f"{value:.2f}x", f"{low:.2f} to {high:.2f}"]


def _published(record: Record) -> list[str]:
    before, after = record["top1"]
    return [*_model(record), _arrow(record["tokens"]), _times(record), _arrow([before, after], 2), _signed(record)]


def _times(record: Record) -> str:
    before, after = record["images_per_second"]
    return f"{after / before:.2f}x"


def _signed(record: Record) -> str:
    before, after = record["top1"]
    return f"{after - before:+.2f}"


def _features(measured: Measured) -> list[list[str]]:
    speed = {each["r"]: each for each in measured.speed if each["model"] == DINOV2}
    rows = []
    for each in measured.features:
        known = speed.get(each["r"])
        cells = [_arrow(known["tokens"]), _speedup(known)[0]] if known else ["65", "1x"]
        rows.append([str(each["r"]), *cells, f"{100 * each['knn']:.1f} %", f"{each['similarity']:.3f}"])
    return rows


def _front(measured: Measured) -> list[list[str]]:
    """Published rows, what was measured here, and DINOv2 by its share of merged tokens."""
    rows = [
        [*_model(each), _arrow(each["tokens"]), f"{_times(each)}, V100", f"{_arrow(each['top1'], 2)} %, published"]
        for each in measured.published
    ]
    rows += [
        [*_model(each), _arrow(each["tokens"]), f"{_speedup(each)[0]}, CPU", "not measured"]
        for each in measured.speed
        if (each["model"], each["r"]) in FRONT
    ]
    plain, *merged = measured.features
    for each in merged:
        known = [own for own in measured.speed if own["model"] == DINOV2 and own["r"] == each["r"]]
        if known and each["r"] in (2, 3, 5):
            accuracy = f"{_arrow([100 * plain['knn'], 100 * each['knn']], 1)} %, features only"
            rows.append([*_model(known[0]), _arrow(known[0]["tokens"]), f"{_speedup(known[0])[0]}, CPU", accuracy])
    return rows


def draw(measured: Measured) -> Any:
    """A matplotlib figure: speed-up by the tokens that are left, and accuracy by speed-up."""
    need("matplotlib", "the plot", "viz")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for model in dict.fromkeys(each["model"] for each in measured.speed):
        own = [each for each in measured.speed if each["model"] == model]
        shares = [100.0, *(100 * each["tokens"][1] / each["tokens"][0] for each in own)]
        left.plot(shares, [1.0, *(each["speedup"][0] for each in own)], ".-", label=_model(own[0])[0])
    left.set(xlabel="tokens left after the last block, %", ylabel="throughput over the unmerged model")
    left.invert_xaxis()
    left.legend(fontsize=9)
    _accuracies(right, measured)
    for axis in (left, right):
        axis.grid(linewidth=0.3)
    return figure


def _accuracies(axis: Any, measured: Measured) -> None:
    """Points of accuracy that are lost by speed-up."""
    for number, each in enumerate(measured.published):
        before, after = each["images_per_second"]
        place = (after / before, each["top1"][1] - each["top1"][0])
        axis.plot(*place, "o", color="tab:orange")
        beside = (7, -11 if number == 0 else 3)  # the first two lie close together
        axis.annotate(_model(each)[0], place, beside, textcoords="offset points", fontsize=9)
    speed: dict[int, float] = {each["r"]: each["speedup"][0] for each in measured.speed if each["model"] == DINOV2}
    plain, *merged = measured.features
    known = [(speed[each["r"]], 100 * (each["knn"] - plain["knn"])) for each in merged if each["r"] in speed]
    faster, change = zip((1.0, 0.0), *known, strict=True)
    axis.plot(faster, change, ".-", label=f"{DINOV2_TITLE}, measured")
    axis.plot([], [], "o", color="tab:orange", label="published by Bolya et al.")
    axis.set(xlabel="throughput over the unmerged model", ylabel="change of accuracy, points")
    axis.set_xlim(0.95, 2.6)
    axis.legend(fontsize=9, loc="upper right")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(args: argparse.Namespace) -> None:
    """Writes the tables of both pages, and the picture."""
    measured = load(RECORDS)
    found = tables(measured)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        own = {name: table for name, table in found.items() if f"<!-- table: {name} -->" in text}
        write_file(page, fill(text, own))
    save_figure(draw(measured), PICTURE, dpi=200)
    print(f"Wrote {', '.join(map(str, (*PAGES, PICTURE)))}.")


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))

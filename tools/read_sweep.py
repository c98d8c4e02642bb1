"""``python -m tools.read_sweep``: reads a feature map of every model of timm whose tokens cannot merge.

Models have no values (the meta device), so shapes are checked and no numbers: (B, C, h, w), with as many rows and
columns as the stride of the map says. Takes minutes. Returns 1 if a model fails.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass

import timm
import torch

from timm_mergemix.cli.models import quiet_timm
from timm_mergemix.errors import MergeMixError
from timm_mergemix.merge.find.feature_maps import FeatureMaps, find_encoder
from timm_mergemix.merge.find.sketch import sketch
from timm_mergemix.training.progress import Reporter

__all__ = ["Reading", "main", "read"]


@dataclass(frozen=True)
class Reading:
    """What came of a model.

    Attributes:
        name: Its name in timm.
        status: ``"attention"``, ``"feature map"``, ``"nothing"`` to read, or ``"failed"``.
        detail: The shape of the map, or what went wrong.
    """

    name: str
    status: str
    detail: str = ""


def read(name: str) -> Reading:
    """Reads the default feature map of a model at its default size."""
    try:
        model = sketch(lambda: timm.create_model(name))
        found = find_encoder(model)
    except MergeMixError as error:
        return Reading(name, "nothing", str(error))
    if not isinstance(found, FeatureMaps):
        return Reading(name, "attention")
    shape, index = found.default_shape, found.default_index
    try:
        images = torch.empty(2, found.in_channels, *shape[1:], device=found.parameter.device)
        with torch.no_grad():
            features = found.view().run(images, index)
    except Exception as error:  # whatever a model's code raises
        return Reading(name, "failed", f"{type(error).__name__}: {error}".splitlines()[0])
    expected = [side / found.strides[index] for side in shape[1:]]
    fits = all(abs(got - wanted) <= 2 for got, wanted in zip(features.shape[2:], expected, strict=True))
    return Reading(name, "feature map" if fits and len(features) == 2 else "failed", str(tuple(features.shape)))


def main(arguments: list[str] | None = None) -> int:
    """Reads all models and prints how many of each status there are, and those that failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.read_sweep", description=__doc__)
    parser.add_argument("--filter", default="", metavar="GLOB", help="only models whose names match this pattern")
    names, found = timm.list_models(parser.parse_args(arguments).filter), []
    with quiet_timm(), Reporter(progress=True).bar("models", len(names), unit="model") as bar:
        for name in names:
            found.append(read(name))
            bar.step()
    for each in found:
        if each.status in ("nothing", "failed"):
            print(f"{each.name}: {each.status}: {each.detail}")
    print(", ".join(f"{status}: {count}" for status, count in Counter(each.status for each in found).most_common()))
    return int(any(each.status == "failed" for each in found))


if __name__ == "__main__":
    sys.exit(main())

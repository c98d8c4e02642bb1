"""The number of classes that a model's own head tells apart."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..merge.find.search import bare

__all__ = ["count_classes"]

HEADS = ("classifier", "heads", "head")  # of transformers, of torchvision, of models with neither and no timm


def count_classes(model: Any) -> int | None:
    """Returns the width of the classifier of a timm, torchvision or transformers model, or None without one.

    The classifier itself is asked, since one that was replaced by hand leaves ``num_classes`` as it was.

    Args:
        model: The model, or a wrapper of it: DDP, DataParallel, a compiled model.
    """
    while isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)) or hasattr(model, "_orig_mod"):
        model = model._orig_mod if hasattr(model, "_orig_mod") else model.module
    return _own_classes(model) or _own_classes(bare(model))


def _own_classes(model: Any) -> int | None:
    get_classifier = getattr(model, "get_classifier", None)
    heads = [get_classifier()] if callable(get_classifier) else [getattr(model, name, None) for name in HEADS]
    for head in heads:
        first = head[0] if isinstance(head, tuple) else head  # a distilled model has two, of the same width
        widths = [getattr(part, "out_features", None) for part in _parts(first)]
        known_widths = [width for width in widths if isinstance(width, int)]
        if known_widths:
            return known_widths[-1]
    known = getattr(model, "num_classes", None)
    return known if isinstance(known, int) and known > 0 else None


def _parts(head: Any) -> list[nn.Module]:
    if not isinstance(head, nn.Module):
        return []
    return [head] if hasattr(head, "out_features") else list(head.modules())

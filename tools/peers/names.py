"""The timm models that run through timm's tests: plain transformers, smallest first."""

from __future__ import annotations

from ..census.names import candidates, full_size, is_plain


def smallest_first(pattern: str, most: float | None) -> list[str]:
    """Returns the names of plain transformers of timm, smallest first.

    Args:
        pattern: A glob pattern for the names.
        most: Upper limit of the number of parameters in millions; None for no limit.
    """
    sizes = {}
    for name in candidates(pattern):
        try:
            model = full_size(name)
        except Exception:  # this release of timm may lack the model, or a package that it needs
            continue
        size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        if is_plain(model) and (most is None or size <= most):
            sizes[name] = size
    return sorted(sizes, key=sizes.__getitem__)

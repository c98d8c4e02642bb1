"""Which of timm's models are put to its tests: plain transformers, from the smallest on."""

from __future__ import annotations

from ..census.names import candidates, full_size, is_plain


def smallest_first(pattern: str, most: float | None) -> list[str]:
    """Names of plain transformers of timm.

    Args:
        pattern: Names that fit it.
        most: The most millions of parameters; None for any number.
    """
    sizes = {}
    for name in candidates(pattern):
        try:
            model = full_size(name)
        except Exception:  # a release of timm that cannot build it, or a package that it misses
            continue
        size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        if is_plain(model) and (most is None or size <= most):
            sizes[name] = size
    return sorted(sizes, key=sizes.__getitem__)

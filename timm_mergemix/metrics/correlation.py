"""Whether two quantities rise together."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import check_tensor, wrong

__all__ = ["rank_correlation"]


def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's rank correlation: the linear correlation of the ranks, where ties share their mean rank.

    Spearman, "The Proof and Measurement of Association between Two Things", 1904. One use is the correlation of mixing
    ratios with reward margins: a model that sees how strong a mix is ranks the two in opposite order.

    Args:
        a: (N,) real numbers of any dtype.
        b: (N,) real numbers of any dtype.

    Returns:
        A scalar in [-1, 1], float64 if ``a`` or ``b`` is float64, else float32. NaN if the values of ``a`` or of ``b``
        are all equal, which includes N < 2, or if one of them is NaN.

    Raises:
        MergeMixError: If shapes or dtypes do not fit.
    """
    check_tensor("a", a, ("N",))
    check_tensor("b", b, a.shape, like=a)
    for name, values in (("a", a), ("b", b)):
        if values.is_complex() or (values.is_floating_point() and values.itemsize == 1):
            raise wrong(name, values, "real numbers of at least 16 bits")
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    x, y = _centred_ranks(a, dtype), _centred_ranks(b, dtype)
    return (x @ y / (x.norm() * y.norm())).clamp(-1, 1)


def _centred_ranks(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The ranks minus their mean, which is always (N + 1) / 2."""
    _, inverse, counts = values.unique(return_inverse=True, return_counts=True)
    # The highest rank among equal values is the cumulative count; their mean rank is (counts - 1) / 2 less. Integers
    # are used up to here, so that equal values give exactly 0.
    twice = 2 * counts.cumsum(0) - counts - len(values)
    return (twice.to(dtype) / 2)[inverse].masked_fill(values.isnan(), float("nan"))

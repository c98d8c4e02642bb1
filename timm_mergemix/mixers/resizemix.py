"""ResizeMix."""

from __future__ import annotations

import torch

from ..mix.blends import ResizeMixBlend
from ..mix.config import MixConfig
from ..mix.mixer import Mixer

__all__ = ["ResizeMix"]


class ResizeMix(Mixer):
    """ResizeMix: the whole partner, resized, pasted at a random place.

    Qin et al., "ResizeMix: Mixing Data with Preserved Object Information and True Labels", 2020 (arXiv 2012.11101).

    Args:
        scale: Limits of the pasted image's side, as a share of the image's.
        num_classes: Number of classes; may be None if labels are rows.
        prob: Probability that a batch is mixed at all.
        mode: What shares its parameters: ``"batch"``, the whole batch; ``"pair"``, an image and its partner;
            ``"elem"``, nothing.
        label_smoothing: Label smoothing of the targets, in [0, 1], as in timm's Mixup.
        multi_label: Whether labels are (B, num_classes) rows of independent classes.
        generator: Source of all randomness; torch's default generator if None.
        validate: Whether values (NaN, label range) are also checked on an accelerator, which costs a synchronisation.

    Raises:
        MergeMixError: If an argument is out of its range.
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.1, 0.8),
        num_classes: int | None = 1000,
        prob: float = 1.0,
        mode: str = "batch",
        label_smoothing: float = 0.1,
        multi_label: bool = False,
        generator: torch.Generator | None = None,
        validate: bool | None = None,
    ) -> None:
        config = MixConfig.of(locals())
        super().__init__(
            [(ResizeMixBlend(scale), 1.0)],
            **config.shared(),
            num_classes=num_classes,
            generator=generator,
            validate=validate,
        )

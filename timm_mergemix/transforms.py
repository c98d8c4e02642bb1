"""MergeMix as a torchvision.transforms.v2 batch transform."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from .errors import Words, describe, named, wrong
from .merge.schedule import R
from .mix.config import MixConfig
from .mixers.mergemix import MergeMix as Mixer
from .saliency.config import SaliencyConfig

__all__ = ["MergeMix"]


class MergeMix(v2.Transform):
    """Applies MergeMix to a batch of images and labels, beside ``v2.MixUp`` and ``v2.CutMix``.

    Jin et al., "MergeMix: A Unified Augmentation Paradigm for Visual and Multi-Modal Understanding", ICLR 2026
    (arXiv 2510.23479).

    Images are (B, C, H, W), float or uint8. Labels are (B,) integers, or (B, num_classes) rows, which may be
    multi-label; they come back as (B, num_classes) float rows.

    Args:
        encoder: See `timm_mergemix.MergeMix`. It is not registered as a submodule.
        alpha: lambda ~ Beta(alpha, alpha) is the share of patches kept; ``mergemix_alpha`` of `timm_mergemix.MergeMix`.
        num_classes: Number of classes; may be None where labels are rows.
        labels_getter: As in ``v2.MixUp``: a function of the inputs that returns the labels among them. ``"default"``
            takes the second input, or of a dictionary what is called ``"labels"``, else what has "label" in its name.
        prob: Probability of mixing; see `timm_mergemix.MergeMix`, also for the arguments below.
        mode: What shares lambda: the batch, a pair, or nothing.
        ratio_mode: How the ratio is measured.
        select: Whose saliency decides which patches are kept.
        saliency_r: Token merging in the saliency pass.
        saliency_scale: Size of the images in it, as a share of theirs.
        layer: The block whose attention is read.
        divide: Whether a merged token's attention is shared out among its patches.
        label_smoothing: In [0, 1]; none by default, as in ``v2.MixUp``.
        multi_label: Labels are rows of independent classes.
        image_mean: Mean of the normalised images.
        image_std: Standard deviation, likewise.
        encoder_mean: Mean of the encoder's images.
        encoder_std: Standard deviation, likewise.
        generator: Where randomness comes from.
        validate: Whether values are checked on an accelerator too.

    Raises:
        MergeMixError: If the encoder is not supported, an argument is out of its range, or the batch does not fit.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        alpha: float = 1.0,
        num_classes: int | None = None,
        labels_getter: Callable[[Any], Any] | str = "default",
        prob: float = 1.0,
        mode: str = "batch",
        ratio_mode: str = "area",
        select: str = "own",
        saliency_r: R | None = ("keep", 0.5),
        saliency_scale: float = 1.0,
        layer: int | str | None = None,
        divide: bool = True,
        label_smoothing: float = 0.0,
        multi_label: bool = False,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        encoder_mean: Sequence[float] | None = None,
        encoder_std: Sequence[float] | None = None,
        generator: torch.Generator | None = None,
        validate: bool | None = None,
    ) -> None:
        known = MixConfig.options() | SaliencyConfig.options()
        options = {name: value for name, value in locals().items() if name in known}
        super().__init__()
        with named(mergemix_alpha="alpha"):
            MixConfig.check({"mergemix_alpha": alpha})
        if alpha == 0:
            raise wrong("alpha", alpha, "a number > 0")
        if labels_getter != "default" and not callable(labels_getter):
            raise wrong("labels_getter", labels_getter, "a function of the inputs, or 'default'")
        self.alpha = alpha
        self.num_classes = num_classes
        self._labels_of = labels_getter if callable(labels_getter) else _find_labels
        alone: dict[str, Any] = {"mergemix_alpha": alpha, "mergemix_prob": 1.0, "mixup_alpha": 0.0, "cutmix_alpha": 0.0}
        self._mixer = Mixer(encoder, num_classes, **options, **alone, generator=generator, validate=validate)

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"alpha={self.alpha}, num_classes={self.num_classes}, mode={self._mixer.mode!r}"

    def forward(self, *inputs: Any) -> Any:
        """As ``v2.MixUp``: the same structure with images and labels mixed."""
        whole = inputs if len(inputs) != 1 else inputs[0]
        labels = self._labels_of(whole)
        leaves = list(_leaves(whole))
        if not isinstance(labels, Tensor):
            raise wrong("inputs", [describe(x) for x in leaves], "labels that are a tensor")
        if not any(leaf is labels for leaf in leaves):
            raise wrong("labels_getter", labels, "one of the inputs")
        images = _find_images(leaves, labels)
        mixed = self._mixer.mix(images.as_subclass(Tensor), labels)
        own = mixed.images
        wrapped = tv_tensors.wrap(own, like=images) if isinstance(images, tv_tensors.Image) else own
        return _replaced(whole, {id(images): wrapped, id(labels): mixed.targets})


def _find_labels(inputs: Any) -> Any:
    """The labels in the second of two inputs, or in a dictionary."""
    if isinstance(inputs, (tuple, list)) and len(inputs) > 1:
        inputs = inputs[1]
    if isinstance(inputs, Mapping):
        names = [name for name in inputs if isinstance(name, str) and "label" in name.lower()]
        return inputs[min(names, key=lambda name: name.lower() != "labels")] if names else None
    return inputs


def _find_images(leaves: Sequence[Any], labels: Tensor) -> Tensor:
    """The one batch of images: wrapped as such, else the first plain tensor that is not the labels.

    Raises:
        MergeMixError: If there is none, more than one, or something beside it that would have to be mixed too.
    """
    wrapped = [leaf for leaf in leaves if isinstance(leaf, tv_tensors.Image)]
    plain = [leaf for leaf in leaves if type(leaf) is Tensor and leaf is not labels]
    images = wrapped or plain[:1]
    if len(images) != 1:
        raise wrong("inputs", [describe(x) for x in leaves], "one batch of images beside the labels")
    others = (tv_tensors.TVTensor, Image.Image)
    for leaf in leaves:
        if isinstance(leaf, others) and leaf is not images[0]:
            raise wrong("inputs", Words(f"a {type(leaf).__name__}"), "images and labels, since it would stay unmixed")
    return images[0]


def _leaves(inputs: Any) -> Iterator[Any]:
    """What stands in nested tuples, lists and dictionaries."""
    if isinstance(inputs, Mapping):
        inputs = list(inputs.values())
    if isinstance(inputs, (tuple, list)):
        for part in inputs:
            yield from _leaves(part)
    else:
        yield inputs


def _replaced(inputs: Any, new: Mapping[int, Any]) -> Any:
    """The same structure with some leaves, known by their id, replaced."""
    if isinstance(inputs, Mapping):
        return type(inputs)({name: _replaced(part, new) for name, part in inputs.items()})  # type: ignore[call-arg]
    if isinstance(inputs, (tuple, list)):
        parts = [_replaced(part, new) for part in inputs]
        return type(inputs)(*parts) if hasattr(inputs, "_fields") else type(inputs)(parts)
    return new.get(id(inputs), inputs)

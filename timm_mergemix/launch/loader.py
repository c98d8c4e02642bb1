"""The loaders of a script, and a loader that mixes their batches on the device instead of in timm's workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from ..errors import unusable
from ..merge.families import Backbone
from ..merge.info import info_of
from ..mix.mixer import Mixer
from ..mixers.mergemix import MergeMix
from .criterion import pack
from .flags import FLAGS
from .log import say_merging
from .run import Run, naming

__all__ = ["MixingLoader", "create_loader", "image_sizes"]


def create_loader(run: Run, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a script's ``create_loader`` after checking that its images have enough tokens to merge."""
    training = kwargs.get("is_training", False)
    for size in image_sizes(kwargs):
        _check_size(run, size, training)
    if run.mixer is not None and training:
        kwargs["collate_fn"] = None  # mixing in the workers would come before ours
    return original(*args, **kwargs)


def image_sizes(loader: dict[str, Any]) -> list[tuple[int, int]]:
    """Returns the heights and widths of a loader's images, from the arguments that create the loader."""
    sizes = loader.get("input_size_choices") or [loader["input_size"]] if "input_size" in loader else []
    return [(size, size) if isinstance(size, int) else (size[-2], size[-1]) for size in sizes]


def _check_model_takes(backbone: Backbone, size: tuple[int, int]) -> None:
    taken = backbone.input_size(*size)
    if taken != size:
        images, model = (f"{height} x {width}" for height, width in (size, taken))
        value = size[0] if size[0] == size[1] else f"{size[0]},{size[1]}"
        hint = f"--model-kwargs img_size={value} makes the model for these images"
        raise unusable("--merge-r", f"images have {images} pixels and the model takes {model}; {hint}")


def _check_size(run: Run, size: tuple[int, int], training: bool) -> None:
    backbone, request = run.backbone, run.request
    if backbone is not None and request.merge is not None and (training or request.merge_eval):
        with naming("--merge-r", r="--merge-r"):
            _check_model_takes(backbone, size)
            info_of(backbone, size)
        if training:
            say_merging(run, backbone, size)
    if training and isinstance(run.mixer, MergeMix):
        with naming("--mergemix", **FLAGS):
            run.mixer.saliency.check_size(*size)


class MixingLoader:
    """Yields mixed images and soft targets of a loader's batches. All other attributes are those of that loader.

    Args:
        loader: Yields images (B, C, H, W) and labels (B,), normalised.
        mixer: Mixes them.
        device: Batches are moved to it first.
        dtype: Images are converted to it first. None leaves them as they are.
        autocast: The script's, for the saliency pass.
        pairs: Whether to append the clean images to their mixes, as one batch of 2 B with the targets of `pack`.
    """

    def __init__(
        self,
        loader: Any,
        mixer: Mixer,
        device: torch.device,
        dtype: torch.dtype | None,
        autocast: Callable[[], AbstractContextManager[Any]],
        pairs: bool,
    ) -> None:
        self.loader = loader
        self.mixer = mixer
        self.device = device
        self.dtype = dtype
        self.autocast = autocast
        self.pairs = pairs

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self.loader:
            images, labels = images.to(self.device, self.dtype), labels.to(self.device)
            with self.autocast():
                batch = self.mixer.mix(images, labels)
            if self.pairs:  # also where nothing was mixed: scripts weight the losses they log by the images of a batch
                yield torch.cat([batch.images, batch.raw]), pack(batch)
            else:
                yield batch.images, batch.targets

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

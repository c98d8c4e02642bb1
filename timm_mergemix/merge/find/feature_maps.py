"""What saliency can be read from: blocks that merge, or else the feature maps of a timm model."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..families import Backbone, family_of
from ..view import eval_view
from .refusals import UnsupportedError
from .search import bare, find_backbone

__all__ = ["FeatureMaps", "feature_maps_of", "find_encoder"]

METHOD = "forward_intermediates"


class FeatureMaps:
    """A timm model that gives its feature maps.

    Args:
        model: The model itself, below every wrapper; it has timm's ``forward_intermediates``.

    Attributes:
        model: As given.
        strides: Pixels per cell of each feature map, from the first to the last.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model
        self.strides = strides_of(model)

    @property
    def parameter(self) -> Tensor:
        """The first parameter, whose device and dtype are those of the model."""
        return next(self.model.parameters())

    @property
    def in_channels(self) -> int:
        """Number of image channels: those of the convolution that timm adapts to them, if it adapts one."""
        usual, names = self.default_shape[0], self._configured("first_conv", ())
        first = names if isinstance(names, str) else next(iter(names or ()), "")
        found = getattr(dict(self.model.named_modules()).get(first), "in_channels", usual)
        # Some see blocks of pixels, each of them as one with many channels.
        return usual if found % usual == 0 else found

    @property
    def default_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images for which the model was configured."""
        channels, *size = self._configured("input_size", (3, 224, 224))
        own = getattr(getattr(self.model, "patch_embed", None), "img_size", None)
        height, width = size if own is None else own
        return channels, height, width

    def _configured(self, name: str, default: Any) -> Any:
        return (getattr(self.model, "pretrained_cfg", None) or {}).get(name, default)

    @property
    def default_index(self) -> int:
        """The feature map that ranks objects over background best: the second-to-last, or the only one."""
        return max(len(self.strides) - 2, 0)

    def view(self) -> FeatureMaps:
        """The same of a view of the model in eval mode."""
        return type(self)(eval_view(self.model))

    def run(self, images: Tensor, index: int) -> Tensor:
        """The feature map (B, C, h, w) of that index; where the model can, it stops there.

        Args:
            images: (B, C, H, W) of a size that the model takes.
            index: From 0, or negative from the last one.
        """
        index %= len(self.strides)
        options = {"indices": [index], "stop_early": True, "output_fmt": "NCHW", "intermediates_only": True}
        found: Tensor = self.model.forward_intermediates(images, **options)[-1]
        return found


def strides_of(model: Any) -> tuple[int, ...]:
    """Pixels per cell of the feature maps that a timm model gives; empty if it gives none."""
    info = getattr(model, "feature_info", None)
    if not info or not hasattr(model, METHOD):
        return ()
    return tuple(int(each["reduction"]) for each in getattr(info, "info", info))


def feature_maps_of(module: nn.Module) -> FeatureMaps | None:
    """The feature maps that stand in for the attention of a model that cannot be patched; None if there are none.

    For a vision transformer of a known family they do not: why it cannot be patched is then what a user has to know.
    """
    model = bare(module)
    return FeatureMaps(model) if family_of(model) is None and strides_of(model) else None


def find_encoder(module: nn.Module, argument: str = "encoder") -> Backbone | FeatureMaps:
    """Finds what saliency is read from: the supported model that `find_backbone` finds, or else feature maps.

    Raises:
        MergeMixError: If there is neither.
    """
    try:
        return find_backbone(module, argument)
    except UnsupportedError:
        found = feature_maps_of(module)
        if found is None:
            raise
        return found

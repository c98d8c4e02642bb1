"""The image towers of SigLIP 2 (NaFlex): patches of images of any size, padded to one sequence length."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.siglip2.modeling_siglip2 import Siglip2Attention, Siglip2EncoderLayer, Siglip2VisionModel

from ...blocks import MergingBlock
from ...state import Merging
from .layer import UnscaledLayer
from .model import MergingTransformersModel
from .siglip import PooledBackbone

__all__ = ["BLOCKS", "FAMILY", "MergingSiglip2EncoderLayer", "MergingSiglip2VisionModel"]


class MergingSiglip2EncoderLayer(UnscaledLayer, Siglip2EncoderLayer):
    """`transformers.models.siglip2.modeling_siglip2.Siglip2EncoderLayer` that merges."""

    attention_class: ClassVar[type[nn.Module]] = Siglip2Attention


class MergingSiglip2VisionModel(MergingTransformersModel, Siglip2VisionModel):
    """`transformers.Siglip2VisionModel` that merges."""

    def begin_call(self, merging: Merging, call: dict[str, Any]) -> None:
        valid = call.get("pixel_attention_mask")
        merging.take_padding(None if valid is None else valid.bool())


class Siglip2Backbone(PooledBackbone):
    """SigLIP 2's image towers, alone or in a model that holds one."""

    name = "transformers SigLIP 2"
    models: ClassVar = {Siglip2VisionModel: MergingSiglip2VisionModel}

    takes_any_size = True

    @property
    def default_size(self) -> tuple[int, int] | None:
        rows, columns = self.patch_size
        side = int(self.config.num_patches**0.5)
        return rows * side, columns * side

    def run(self, images: Tensor) -> Any:
        rows, columns = self.patch_size
        grid = self.grid_size(*images.shape[-2:])
        # Patches as transformers' image processor makes them: the channels of a pixel stay together.
        patches = F.unfold(images, (rows, columns), stride=(rows, columns))
        patches = patches.unflatten(1, (images.shape[1], -1)).transpose(1, 2).flatten(1, 2).transpose(1, 2)
        shapes = torch.tensor(grid, device=images.device).expand(images.shape[0], -1)
        mask = torch.ones(patches.shape[:2], dtype=torch.int64, device=images.device)
        call = {"pixel_values": patches, "pixel_attention_mask": mask, "spatial_shapes": shapes}
        return self.model.forward(**call, return_dict=True)


FAMILY = Siglip2Backbone
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {Siglip2EncoderLayer: MergingSiglip2EncoderLayer}

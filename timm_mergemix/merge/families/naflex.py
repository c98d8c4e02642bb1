"""timm's NaFlexVit: images of any size and aspect ratio in one batch, padded to one sequence length."""

from __future__ import annotations

from typing import Any, ClassVar

from timm.models.naflexvit import NaFlexVit
from torch import Tensor, nn

from .timm_model import MergingTimmModel, TimmBackbone

__all__ = ["MergingNaFlexVit", "NaFlexBackbone"]


class MergingNaFlexVit(MergingTimmModel, NaFlexVit):
    """`timm.models.naflexvit.NaFlexVit` that merges."""

    def _forward_embeds(
        self, x: Tensor, patch_coord: Tensor | None, patch_valid: Tensor | None, attn_mask: Tensor | None
    ) -> dict[str, Any]:
        embeds = super()._forward_embeds(x, patch_coord, patch_valid, attn_mask)
        # A mask of the caller's own may say more than the padding does: the blocks then refuse it.
        self.merging.take_padding(embeds["patch_valid"] if attn_mask is None else None)
        return embeds


class NaFlexBackbone(TimmBackbone):
    """NaFlex ViTs, SigLIP 2 NaFlex."""

    name = "timm NaFlexVit"
    models: ClassVar = {NaFlexVit: MergingNaFlexVit}

    @property
    def stem(self) -> nn.Module:
        return self.model.embeds

    @property
    def default_size(self) -> tuple[int, int] | None:
        return self.model.embeds.default_img_size

    takes_any_size = True

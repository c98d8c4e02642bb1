"""The request: what a run is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..merge.config import MergeConfig
from ..mix.config import MixConfig
from ..mixers.registry import takes_encoder
from ..preference.config import PreferenceConfig
from ..saliency.config import SaliencyConfig
from .flags import FLAGS

__all__ = ["Request"]


@dataclass(frozen=True)
class Request:
    """A checked and complete request, which does not change after `read_request` has made it.

    Attributes:
        training: Whether the script trains.
        merge: How tokens merge; None if none do.
        merge_eval: Whether validation between epochs merges too.
        mixer: Name of the mixer that ``--mixer`` asks for, or None.
        mix: How this library mixes the batches; None if it does not.
        saliency: How MergeMix reads attention.
        encoder: Name of another model whose attention is read; None if the model's own is, or none.
        encoder_checkpoint: File of its weights, in place of timm's.
        preference: How the clean image is preferred to its mix; None if it is not.
        recipe: Name of the recipe that set something or was asked for; empty where there is none.
        recipe_sets: What it set, by flag.
        seed: The run's.
        num_classes: As the script was told; None takes the model's.
        mixup_off_epoch: The epoch from which nothing is mixed; 0 for never.
        bce: Arguments of timm's BinaryCrossEntropy for ``--bce-loss``; None without it.
        data: What timm's ``resolve_data_config`` reads.
    """

    training: bool
    merge: MergeConfig | None = None
    merge_eval: bool = True
    mixer: str | None = None
    mix: MixConfig | None = None
    saliency: SaliencyConfig = field(default_factory=SaliencyConfig)
    encoder: str | None = None
    encoder_checkpoint: str | None = None
    preference: PreferenceConfig | None = None
    recipe: str = ""
    recipe_sets: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    num_classes: int | None = None
    mixup_off_epoch: int = 0
    bce: Mapping[str, Any] | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reads(self) -> bool:
        """Whether some batches are mixed by attention."""
        if self.mixer is not None:
            return takes_encoder(self.mixer)
        return self.mix is not None and self.mix.mergemix_alpha > 0 and self.mix.mergemix_prob > 0

    @property
    def mixing_flag(self) -> str:
        """The flag that turns mixing on."""
        if self.mixer is not None:
            return "--mixer"
        return FLAGS["mergemix_alpha" if self.mix is not None and self.mix.mergemix_alpha > 0 else "weight"]

"""The forward passes of preference training, and the pass from which the saliency comes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import Words, with_article, wrong
from ..merge.find.search import bare
from ..mix.batch import MixedBatch
from ..mix.mixer import Mixer
from ..mixers.mergemix import MergeMix
from .config import PreferenceConfig
from .loss import PreferenceLoss, PreferenceTerms
from .reference import check_reference, in_eval_mode

__all__ = ["PreferenceStep", "StepOutput"]


class StepOutput(NamedTuple):
    """What one step computes.

    Attributes:
        terms: The loss and its parts.
        logits: (B, num_classes), logits of the mixes.
        batch: The mix.
    """

    terms: PreferenceTerms
    logits: Tensor
    batch: MixedBatch


class PreferenceStep:
    """Forward passes and loss of one training step. Call it on images and labels, then run ``terms.total.backward()``.

    Jin et al., "MergeMix", ICLR 2026 (arXiv 2510.23479). There are two ways to get the saliency:

    - ``saliency="winner"``: the winner's training pass also yields the attention for the mix, without a gradient; then
      the mix runs. There are two passes instead of three. The model's own merging shapes the map; the mixer's
      ``saliency_r``, ``saliency_scale`` and statistics are not used.
    - ``saliency="separate"``: the mixer runs its own saliency pass, then winners and losers go through the model as one
      batch of 2 B. This is needed under DDP, which allows one forward pass per step, and if the encoder is another
      model. BatchNorm then sees clean and mixed images together.

    If no image of a batch was mixed, a single pass serves as both the winner's and the loser's.

    Args:
        model: The model in training, or its DDP or compiled wrapper.
        mixer: Makes the losers: `MergeMix`, `Mixup`, `ResizeMix` or another `Mixer` with integer labels.
        loss: The `PreferenceLoss`. If its ``weight`` is 0, the winner does not run at all.
        saliency: ``"winner"`` or ``"separate"``; None uses ``"winner"`` if that is possible.
        reference: A frozen model for ``PreferenceLoss(variant="dpo")``; it runs in eval mode.

    Raises:
        MergeMixError: If an argument does not fit the others.
    """

    def __init__(
        self,
        model: nn.Module,
        mixer: Mixer,
        loss: PreferenceLoss,
        *,
        saliency: str | None = None,
        reference: nn.Module | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise wrong("model", model, "a torch.nn.Module")
        if not isinstance(mixer, Mixer):
            raise wrong("mixer", mixer, "a mixer of this library, such as timm_mergemix.MergeMix")
        if not isinstance(loss, PreferenceLoss):
            raise wrong("loss", loss, "a timm_mergemix.PreferenceLoss")
        check_reference(model, reference, loss.variant)
        reason = _reason_against_winner(model, mixer)
        PreferenceConfig.check({"saliency": saliency})
        if saliency == "winner" and reason is not None:
            raise wrong("saliency", Words("'winner'"), f"'separate', since {reason}")
        self.model = model
        self.mixer = mixer
        self.loss = loss
        self.saliency = saliency or ("separate" if reason else "winner")
        self.reference = reference

    def __call__(self, images: Tensor, labels: Tensor) -> StepOutput:
        """Mixes a batch, runs the model on it and computes the loss.

        Args:
            images: (B, C, H, W) float, normalised as the model expects.
            labels: (B,) integers.

        Raises:
            MergeMixError: If the input does not fit.
        """
        if isinstance(images, Tensor) and not images.is_floating_point():
            raise wrong("images", images, "float images, normalised as the model expects")
        if self.loss.weight == 0:
            batch = self.mixer.mix(images, labels)
            winner, loser = None, self.model(batch.images)
        elif self.saliency == "winner":
            winner, batch, loser = self._winner_first(images, labels)
        else:
            batch = self.mixer.mix(images, labels)
            winner, loser = self._in_one_pass(batch)
        reference = None if winner is None or self.reference is None else self._refer(batch)
        return StepOutput(self.loss(winner, loser, batch, reference), loser, batch)

    def _winner_first(self, images: Tensor, labels: Tensor) -> tuple[Tensor, MixedBatch, Tensor]:
        mixer: Any = self.mixer
        mixer.check(images, labels)
        with mixer.saliency.reading(images) as read:
            winner = self.model(images)
        batch = mixer.mix(images, labels, read())
        return winner, batch, winner if _is_plain(batch) else self.model(batch.images)

    def _in_one_pass(self, batch: MixedBatch) -> tuple[Tensor, Tensor]:
        if _is_plain(batch):
            winner = self.model(batch.images)
            return winner, winner
        return _both("model", self.model(torch.cat([batch.raw, batch.images])))

    @torch.no_grad()
    def _refer(self, batch: MixedBatch) -> tuple[Tensor, Tensor]:
        return _both("reference", in_eval_mode(self.reference)(torch.cat([batch.raw, batch.images])))


def _both(argument: str, logits: Any) -> tuple[Tensor, Tensor]:
    """Splits the logits of winners and losers that went through a model as one batch.

    Raises:
        MergeMixError: If the logits are not a tensor.
    """
    if not isinstance(logits, Tensor):
        got = Words(f"a model that returns {with_article(type(logits).__name__)}")
        raise wrong(argument, got, "a model that returns logits as a tensor of shape (B, num_classes)")
    winner, loser = logits.chunk(2)
    return winner, loser


def _is_plain(batch: MixedBatch) -> bool:
    return all(kind == "none" for kind in batch.kind)


def _reason_against_winner(model: nn.Module, mixer: Mixer) -> str | None:
    """Why the winner's pass cannot be the saliency pass, or None if it can."""
    if not isinstance(mixer, MergeMix):
        return "the mixer reads no saliency"
    if bare(model) is not mixer.saliency.backbone.model:
        return "the mixer's encoder is another model"
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    wrapper = next((m for m in model.modules() if isinstance(m, parallel)), None)
    if wrapper is not None:
        return f"{type(wrapper).__name__} allows one forward pass per step"
    return mixer.saliency.reason_against_reading()

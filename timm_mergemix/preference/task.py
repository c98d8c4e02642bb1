"""A training task for `timm.task`: soft targets of a mix, and the preference of the clean image."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

from ..errors import Words, wrong
from ..mix.mixer import Mixer
from .loss import PreferenceLoss
from .step import PreferenceStep

try:
    from timm.task import TrainingTask
except ImportError:  # older releases of timm

    class TrainingTask(nn.Module):  # type: ignore[no-redef]
        """Stands in for timm's class and raises when it is instantiated."""

        def __init__(self, **options: Any) -> None:
            raise wrong(
                "timm",
                Words(timm.__version__),
                "a release with timm.task, which MergeMixTask needs; PreferenceStep works without it",
            )


__all__ = ["MergeMixTask"]


class MergeMixTask(TrainingTask):
    """Mixes a batch, trains on the soft targets of the mix and prefers the clean image to its mix.

    Jin et al., "MergeMix", ICLR 2026 (arXiv 2510.23479). Use it like timm's own tasks:
    ``result = task(images, labels); result["loss"].backward()``.

    Args:
        model: The model in training.
        mixer: Makes the mixes: `MergeMix`, `Mixup` or another `Mixer`.
        loss: The `PreferenceLoss`; a default one if None. With its ``weight`` 0 this is plain MergeMix training.
        saliency: ``"winner"`` or ``"separate"``, as in `PreferenceStep`; None uses ``"winner"`` if that is possible,
            and always ``"separate"`` after `prepare_distributed`.
        reference: A frozen model for ``PreferenceLoss(variant="dpo")``. It is not part of the task, so neither ``to``
            nor a checkpoint includes it.
        device: Device of the task, passed on to timm.
        dtype: Dtype of the task, passed on to timm.
        verbose: Whether the task logs information, passed on to timm.

    Raises:
        MergeMixError: If an argument does not fit the others.
    """

    def __init__(
        self,
        model: nn.Module,
        mixer: Mixer,
        loss: PreferenceLoss | None = None,
        *,
        saliency: str | None = None,
        reference: nn.Module | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = True,
    ) -> None:
        super().__init__(device=device, dtype=dtype, verbose=verbose)
        self.trainable_module: nn.Module = model
        if isinstance(loss, PreferenceLoss) and loss.reduction == "none":
            raise wrong("loss", Words('a loss with reduction="none"'), 'one with reduction="mean", which is a scalar')
        self.loss = PreferenceLoss() if loss is None else loss
        self.mixer = mixer
        self.saliency = saliency
        # In a tuple, so that the frozen model is neither trained nor saved with the task.
        self._reference = (reference,)
        self._step()

    def _step(self) -> PreferenceStep:
        """The step for the module as it is now: DDP and the compiler wrap it after the task is made."""
        return PreferenceStep(
            self.trainable_module, self.mixer, self.loss, saliency=self.saliency, reference=self._reference[0]
        )

    def prepare_distributed(self, device_ids: list[Any] | None = None, **ddp_kwargs: Any) -> MergeMixTask:
        """Wraps the model in DistributedDataParallel with the given arguments, and returns the task."""
        if self.saliency == "winner":
            raise wrong(
                "saliency",
                Words("'winner'"),
                "'separate' or None, since DistributedDataParallel allows one forward pass per step",
            )
        ddp = nn.parallel.DistributedDataParallel(self.trainable_module, device_ids=device_ids, **ddp_kwargs)
        self.trainable_module = ddp
        return self

    def compile(self, backend: str = "inductor", mode: str | None = None, **compile_kwargs: Any) -> nn.Module:
        """Compiles the model with `torch.compile`, and returns it."""
        compiled: Any = torch.compile(self.trainable_module, backend=backend, mode=mode, **compile_kwargs)
        self.trainable_module = self.eval_model = compiled
        return compiled

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Runs the forward passes and computes the loss of one training step.

        Args:
            input: (B, C, H, W) float.
            target: (B,) integer labels.

        Returns:
            ``"loss"``, ``"output"`` (the mixes' logits), ``"soft_target"``, ``"preference"``, ``"reward_margin"`` and
            ``"preference_accuracy"``; `PreferenceTerms` describes the last four.
        """
        output = self._step()(input, target)
        terms = output.terms
        named = {name: getattr(terms, name).detach() for name in terms._fields[1:]}
        return {"loss": terms.total, "output": output.logits, **named}

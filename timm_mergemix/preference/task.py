"""A training task of timm's (`timm.task`): soft targets of a mix, and the preference of the clean image."""

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
        """In place of timm's: cannot be made."""

        def __init__(self, **options: Any) -> None:
            raise wrong(
                "timm",
                Words(timm.__version__),
                "a release with timm.task for MergeMixTask; PreferenceStep works without",
            )


__all__ = ["MergeMixTask"]


class MergeMixTask(TrainingTask):
    """Mixes a batch, trains on the mix's soft target and prefers the clean image to its mix.

    Jin et al., "MergeMix", ICLR 2026 (arXiv 2510.23479). Used as timm's tasks are:
    ``result = task(images, labels); result["loss"].backward()``.

    Args:
        model: The model in training.
        mixer: Makes the mixes: `MergeMix`, `Mixup`, ...
        loss: `PreferenceLoss`; the default one if None. With its ``weight`` 0 this is plain MergeMix training.
        saliency: See `PreferenceStep`; after `prepare_distributed` ``None`` means ``"separate"``.
        reference: A frozen model for ``PreferenceLoss(variant="dpo")``. It is no part of the task: neither ``to`` nor a
            checkpoint sees it.
        device: See `timm.task.TrainingTask`.
        dtype: See `timm.task.TrainingTask`.
        verbose: See `timm.task.TrainingTask`.

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
            raise wrong("loss", Words('one with reduction="none"'), 'reduction="mean", since timm minimises a scalar')
        self.loss = PreferenceLoss() if loss is None else loss
        self.mixer = mixer
        self.saliency = saliency
        # In a tuple, so that the frozen model is neither trained nor saved with the task.
        self._reference = (reference,)
        self._step()

    def _step(self) -> PreferenceStep:
        """Of the module as it is now: DDP and the compiler wrap it after the task is made."""
        return PreferenceStep(
            self.trainable_module, self.mixer, self.loss, saliency=self.saliency, reference=self._reference[0]
        )

    def prepare_distributed(self, device_ids: list[Any] | None = None, **ddp_kwargs: Any) -> MergeMixTask:
        """Wraps the model in DistributedDataParallel; see `timm.task.TrainingTask`."""
        if self.saliency == "winner":
            raise wrong(
                "saliency",
                Words("'winner'"),
                "'separate' or None, since DistributedDataParallel wants one forward pass a step",
            )
        ddp = nn.parallel.DistributedDataParallel(self.trainable_module, device_ids=device_ids, **ddp_kwargs)
        self.trainable_module = ddp
        return self

    def compile(self, backend: str = "inductor", mode: str | None = None, **compile_kwargs: Any) -> nn.Module:
        """Compiles the model; see `timm.task.TrainingTask`."""
        compiled: Any = torch.compile(self.trainable_module, backend=backend, mode=mode, **compile_kwargs)
        self.trainable_module = self.eval_model = compiled
        return compiled

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """One training step's forward passes and loss.

        Args:
            input: (B, C, H, W) float.
            target: (B,) integer labels.

        Returns:
            ``"loss"``, ``"output"`` (the mixes' logits), ``"soft_target"``, ``"preference"``, ``"reward_margin"`` and
            ``"preference_accuracy"``; see `PreferenceTerms`.
        """
        output = self._step()(input, target)
        terms = output.terms
        named = {name: getattr(terms, name).detach() for name in terms._fields[1:]}
        return {"loss": terms.total, "output": output.logits, **named}

"""The preference in transformers' training loop, for any subclass of its Trainer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import Words, wrong
from ..files.tensors import load_tensors, save_tensors
from .answers import AnswerLogp, answer_logp
from .batches import LOSERS
from .checkpoints import has_other_names, load_renamed
from .examples import EXTRAS
from .loss import Counts, SequencePreferenceLoss, SequencePreferenceTerms
from .mixer import ImageMixer
from .passes import WatchedCall
from .step import SequencePreferenceStep

__all__ = ["MergeMixMixin"]

PAIRED, COUNTS = "mergemix_paired", "mergemix_counts"
# Sums that are accumulated between two logs, and the count by which each is divided.
LOGGED = {
    "answer_loss": "tokens",
    "preference_loss": "pairs",
    "reward_margin": "pairs",
    "preference_accuracy": "pairs",
    "mix_ratio": "pairs",
    "left_out": "questions",
}


class MergeMixMixin:
    """Mixin for subclasses of transformers' ``Trainer`` that prefers each clean image to its mix. List it first.

    Jin et al., "MergeMix", ICLR 2026 (arXiv 2510.23479). For example with TRL::

        class MergeMixSFTTrainer(vlm.MergeMixMixin, trl.SFTTrainer): ...

    The trainer's own loss runs on the clean images, unchanged. The preference is added to it; its losers go through the
    model in a second pass. The preference is averaged over the pairs of all accumulated batches of all processes, as
    the answer loss is averaged over their tokens. Evaluation is not changed.

    The logs contain the means since the last log of ``answer_loss``, ``preference_loss``, ``reward_margin``,
    ``preference_accuracy``, ``mix_ratio`` and ``left_out``, the share of questions without a loser.

    Args:
        *args: Positional arguments of the trainer.
        mixer: Makes the losers; None if the data collator is a `PairCollator`.
        preference: The loss; None uses a default one.
        saliency: ``"winner"`` or ``"separate"``, as in `SequencePreferenceStep`; with either, winners and losers run in
            two passes here.
        reference: A frozen model for a loss with ``variant="dpo"``.
        **kwargs: Keyword arguments of the trainer.

    Raises:
        MergeMixError: If an argument does not fit the others, or if one process has several devices.
    """

    def __init__(
        self,
        *args: Any,
        mixer: ImageMixer | None = None,
        preference: SequencePreferenceLoss | None = None,
        saliency: str | None = None,
        reference: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        trainer: Any = self
        if trainer.args.n_gpu > 1:
            raise wrong(
                "args", Words(f"{trainer.args.n_gpu} devices in one process"), "torchrun with one process per device"
            )
        self.mergemix = SequencePreferenceStep(trainer.model, mixer, preference, saliency=saliency, reference=reference)
        if mixer is not None and mixer.tokenizer is None:
            processor = trainer.processing_class
            mixer.tokenizer = getattr(processor, "tokenizer", processor)
        self._own_generator = mixer is not None and mixer.generator is None
        self._sums: dict[str, Tensor] = {}

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """Gets the batches of one optimiser step from the trainer, and chooses the partners of all of them."""
        batches, items = super().get_batch_samples(*args, **kwargs)  # type: ignore[misc]
        if not batches:
            return batches, items
        trainer: Any = self
        self._seed()
        paired, counts = self.mergemix.pair(batches)
        pairs = torch.tensor(counts.pairs, device=paired[0].labels.device)
        if trainer.args.world_size > 1:
            pairs = trainer.accelerator.gather(pairs.to(trainer.args.device)).sum()
        counts = Counts(counts.tokens, pairs)
        ready = [{**_plain(batch), PAIRED: each, COUNTS: counts} for batch, each in zip(batches, paired, strict=True)]
        return ready, items

    def compute_loss(
        self, model: nn.Module, inputs: Mapping[str, Any], return_outputs: bool = False, **kwargs: Any
    ) -> Any:
        """The trainer's own loss, plus the weighted preference during training."""
        paired, counts = inputs.get(PAIRED), inputs.get(COUNTS)
        plain = {name: value for name, value in _plain(inputs).items() if name not in (PAIRED, COUNTS)}
        if paired is None or not model.training:
            return super().compute_loss(model, plain, return_outputs, **kwargs)  # type: ignore[misc]
        step = self.mergemix
        with step.reading(paired) as read, WatchedCall(model) as call:
            found = super().compute_loss(model, plain, return_outputs, **kwargs)  # type: ignore[misc]
        loss, outputs = found if return_outputs else (found, None)
        answers = answer_logp(call.output, paired.labels)
        losers = step.losers(paired, read, model)
        lost = step.answer_losers(losers, model, call)
        terms = step.compare(answers, paired, losers, lost, counts)
        self._add(terms, answers, None if losers is None else losers.ratio)
        loss = loss + step.loss.weight * self._scale(kwargs.get("num_items_in_batch")) * terms.preference
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Logs as the trainer does, with the terms of the preference since the last training log."""
        if "loss" in logs and self._sums:
            logs |= self._means()
        super().log(logs, *args, **kwargs)  # type: ignore[misc]

    def _save_rng_state(self, output_dir: str) -> None:
        """Saves the trainer's random state, and the state of the mixer beside it."""
        super()._save_rng_state(output_dir)  # type: ignore[misc]
        if self.mergemix.mixer is not None:
            save_tensors(self._path(output_dir), self.mergemix.mixer.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Loads what the trainer loads, and the state of the mixer at the checkpoint."""
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        if checkpoint is not None and self.mergemix.mixer is not None and self._path(checkpoint).is_file():
            self.mergemix.mixer.load_state_dict(load_tensors(self._path(checkpoint)))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Loads the weights of a checkpoint, even if they have other names on disk."""
        trainer: Any = self
        own = trainer.model if model is None else model
        sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
        if not sharded and has_other_names(own, Path(resume_from_checkpoint)):
            load_renamed(own, Path(resume_from_checkpoint))
            return
        super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]

    def _set_signature_columns_if_needed(self) -> None:
        """Adds the columns for the mixer to the trainer's own, since it would drop them otherwise."""
        super()._set_signature_columns_if_needed()  # type: ignore[misc]
        trainer: Any = self
        trainer._signature_columns = list(dict.fromkeys([*trainer._signature_columns, *EXTRAS]))

    def _path(self, checkpoint: str) -> Path:
        trainer: Any = self
        return Path(checkpoint) / f"mergemix_{trainer.args.process_index}.pt"

    def _seed(self) -> None:
        """Seeds the mixes of an optimiser step: the same after a resume, and different in each process."""
        trainer, mixer = self, self.mergemix.mixer
        if self._own_generator and mixer is not None:
            args, state = trainer.args, trainer.state  # type: ignore[attr-defined]
            key = (args.seed, state.global_step, args.process_index)
            seed = int(np.random.SeedSequence(key).generate_state(1)[0])
            mixer.generator = torch.Generator().manual_seed(seed)

    def _add(self, terms: SequencePreferenceTerms, answers: AnswerLogp, ratio: Tensor | None) -> None:
        """Adds a batch to the sums for the log, without synchronising with the device."""
        sums, rows = terms.sums, len(answers.mask)
        found = {
            "answer_loss": -answers.total,
            "preference_loss": sums.loss,
            "reward_margin": sums.reward,
            "preference_accuracy": sums.won,
            "mix_ratio": sums.loss.new_zeros(()) if ratio is None else ratio.where(ratio < 1, 0).sum(),
            "left_out": rows - sums.pairs,
            "tokens": answers.tokens,
            "pairs": sums.pairs,
            "questions": sums.pairs.new_tensor(rows),
        }
        for name, value in found.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().float()

    def _means(self) -> dict[str, float]:
        """Means over all batches of all processes since the last log; without pairs, means over pairs are omitted."""
        trainer: Any = self
        sums = torch.stack(list(self._sums.values()))
        if trainer.args.world_size > 1:
            sums = trainer.accelerator.gather(sums[None]).sum(dim=0)
        found = dict(zip(self._sums, sums.tolist(), strict=True))
        self._sums = {}
        names = list(LOGGED) if self.mergemix.loss.weight else ["answer_loss"]
        return {name: found[name] / found[LOGGED[name]] for name in names if found[LOGGED[name]]}

    def _scale(self, items: Any) -> float:
        """The factor for the preference that cancels the trainer's averaging, so that its mean is over all pairs."""
        trainer: Any = self
        scaled = getattr(trainer, "loss_is_scaled_for_ga", None)
        if scaled is None:
            scaled = (trainer.model_accepts_loss_kwargs and items is not None) or trainer.compute_loss_func is not None
        # Gradients are averaged over processes, and over accumulated batches if the loss is a mean per batch.
        return trainer.args.world_size * (1 if scaled else trainer.current_gradient_accumulation_steps)


def _plain(batch: Mapping[str, Any]) -> dict[str, Any]:
    """A batch without the entries that are not for the model."""
    return {name: value for name, value in batch.items() if name not in (*EXTRAS, LOSERS)}

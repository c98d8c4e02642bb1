"""One training step with the preference of the clean image, for custom training loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import Words, wrong
from ..preference.config import PreferenceConfig
from ..preference.reference import check_reference, in_eval_mode
from .answers import IGNORED, AnswerLogp, answer_logp
from .batches import LABELS, LOSERS, Losers, PairedBatch, examples_of, inputs_of, losers_of
from .examples import Example
from .loss import Counts, SequencePreferenceLoss, SequencePreferenceTerms
from .mixer import ImageMixer
from .passes import WatchedCall, image_token_of, needs_pass, no_losers, run_losers
from .rows import find_images, join, plain_images

__all__ = ["SequencePreferenceStep", "SequenceStepOutput"]


class SequenceStepOutput(NamedTuple):
    """What one step computes.

    Attributes:
        terms: The loss and its parts.
        answers: Log-probabilities of the answers for the clean images, (B, L - 1).
        losers: The losers; None if there are none.
    """

    terms: SequencePreferenceTerms
    answers: AnswerLogp
    losers: Losers | None


class SequencePreferenceStep:
    """Forward passes and loss of one training step. Call it on a batch, then run ``terms.total.backward()``.

    Jin et al., "MergeMix", ICLR 2026 (arXiv 2510.23479).

    - ``saliency="winner"``: the pass of the clean images also yields the attention for making the losers; then the
      losers run. There are two passes instead of three.
    - ``saliency="separate"``: the mixer runs its own pass if it reads attention, then winners and losers go through the
      model as one batch.

    If the loss has ``detach_loser``, losers always run in their own pass without a gradient, which saves time and
    memory.

    A batch is a dictionary of the model's arguments with ``labels``, as collators for supervised fine-tuning make it.
    It may also have these columns, lists or tensors with one value per row:

    - ``image_id``: equal for questions about the same picture; by default pictures are compared by their pixels.
    - ``answer``: the answer as text; by default it is decoded from the labels.
    - ``about``: the value that is passed to the mixer's ``still_right``.

    A batch may also bring its losers, which `PairCollator` makes.

    Under gradient accumulation, means are over all batches of the optimiser step::

        paired, counts = step.pair(batches)
        for batch in paired:
            step(batch, counts).terms.total.backward()

    Args:
        model: The model in training, patched or not, or its wrapper.
        mixer: Makes the losers; None if batches bring their own.
        loss: The loss; None uses a default one. If its ``weight`` is 0, nothing is mixed.
        saliency: ``"winner"`` or ``"separate"``; None uses ``"winner"`` if that is possible.
        reference: A frozen model for a loss with ``variant="dpo"``; it runs in eval mode.

    Raises:
        MergeMixError: If an argument does not fit the others.
    """

    def __init__(
        self,
        model: nn.Module,
        mixer: ImageMixer | None,
        loss: SequencePreferenceLoss | None = None,
        *,
        saliency: str | None = None,
        reference: nn.Module | None = None,
    ) -> None:
        loss = SequencePreferenceLoss() if loss is None else loss
        if not isinstance(model, nn.Module):
            raise wrong("model", model, "a torch.nn.Module")
        if mixer is not None and not isinstance(mixer, ImageMixer):
            raise wrong("mixer", mixer, "a timm_mergemix.vlm.ImageMixer, or None")
        if not isinstance(loss, SequencePreferenceLoss):
            raise wrong("loss", loss, "a timm_mergemix.vlm.SequencePreferenceLoss")
        check_reference(model, reference, loss.variant)
        PreferenceConfig.check({"saliency": saliency})
        reason = _reason_against_winner(model, mixer)
        if saliency == "winner" and reason is not None:
            raise wrong("saliency", Words("'winner'"), f"'separate', since {reason}")
        self.model = model
        self.mixer = mixer
        self.loss = loss
        self.saliency = saliency or ("separate" if reason else "winner")
        self.reference = reference
        self.token = image_token_of(model)

    def pair(self, batches: Sequence[Mapping[str, Any]]) -> tuple[list[PairedBatch], Counts]:
        """Chooses the partners for all batches of one optimiser step, and counts their tokens and pairs.

        Args:
            batches: The batches, dictionaries as described for the class.

        Raises:
            MergeMixError: If a batch does not fit the model or the mixer.
        """
        read = [self._read(batch) for batch in batches]  # all of them before the mixer stores anything
        paired = [self._pair(*each) for each in read]
        tokens = sum((batch.labels[:, 1:] != IGNORED).sum() for batch in paired)
        return paired, Counts(tokens, sum(batch.pairs for batch in paired))

    def __call__(self, batch: Mapping[str, Any] | PairedBatch, counts: Counts | None = None) -> SequenceStepOutput:
        """Runs the model on a batch and on its losers, and computes the loss.

        Args:
            batch: A dictionary as described for the class, or a batch that `pair` returned.
            counts: Denominators that `pair` returned; None averages over this batch only.

        Raises:
            MergeMixError: If the batch does not fit.
        """
        paired = batch if isinstance(batch, PairedBatch) else self._pair(*self._read(batch))
        if self.saliency == "separate" and paired.losers is None and not self.loss.detach_loser:
            losers = self.losers(paired)
            answers, lost = self._in_one_pass(paired, losers)
        else:
            with self.reading(paired) as read:
                answers = answer_logp(self.model(**_without_labels(paired.inputs)), paired.labels)
            losers = self.losers(paired, read)
            lost = self.answer_losers(losers)
        terms = self.compare(answers, paired, losers, lost, counts)
        return SequenceStepOutput(terms, answers, losers if paired.pairs else None)

    @contextmanager
    def reading(self, paired: PairedBatch) -> Iterator[Callable[[], Tensor | None]]:
        """Reads the attention of the winner's pass if it is needed.

        Args:
            paired: The batch on which the model runs.

        Yields:
            A function that returns the saliency (images, h, w) after the pass, or None if it is not needed.
        """
        saliency = None if self.mixer is None else self.mixer.saliency
        if self.saliency != "winner" or paired.pairing is None or not paired.pairs or saliency is None:
            yield lambda: None
            return
        with saliency.reading(plain_images(paired.inputs)) as read:
            yield read

    def losers(
        self,
        paired: PairedBatch,
        read: Callable[[], Tensor | None] = lambda: None,
        model: nn.Module | None = None,
    ) -> Losers | None:
        """Makes the losers of a batch, or returns those that it brings.

        Args:
            paired: The batch.
            read: The function that `reading` yields.
            model: The model that runs, if a trainer has wrapped it since; None uses the step's own.

        Returns:
            The losers; None if there are none. If other processes may have some, clean images that count as no pairs.
        """
        if self.loss.weight == 0 or not paired.pairs:
            needed = self.loss.weight and needs_pass(self.model if model is None else model)
            return no_losers(paired) if needed else None
        if paired.losers is not None:
            return paired.losers
        mixer: Any = self.mixer
        saliency = read()
        if saliency is not None:
            saliency = saliency[_image_numbers(paired, self.token)]
        mixes = mixer.mix(paired.pairing, saliency)
        return losers_of(paired, mixes.images, mixes.ratio, self.token)

    def answer_losers(
        self, losers: Losers | None, model: nn.Module | None = None, winner: WatchedCall | None = None
    ) -> AnswerLogp | None:
        """Runs the model on losers, without gradients if the loss detaches them, which saves the backward pass.

        Args:
            losers: What `losers` returned.
            model: The model that runs, if a trainer has wrapped it since; None uses the step's own.
            winner: The recorded call of the winner, whose remaining arguments are reused.
        """
        if losers is None:
            return None
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.loss.detach_loser):
            return run_losers(self.model if model is None else model, losers, winner)

    def compare(
        self,
        answers: AnswerLogp,
        paired: PairedBatch,
        losers: Losers | None,
        lost: AnswerLogp | None,
        counts: Counts | None = None,
    ) -> SequencePreferenceTerms:
        """Computes the loss.

        Args:
            answers: Log-probabilities of the answers for the clean images.
            paired: The batch.
            losers: The losers of the batch.
            lost: Log-probabilities of the answers for the losers.
            counts: Denominators that `pair` returned; None averages over this batch only.
        """
        if losers is None:
            return self.loss(answers, counts=counts)
        reference = None if self.reference is None else self._refer(paired, losers)
        return self.loss(answers, lost, losers.ratio, losers.rows, reference, counts)

    def _read(self, batch: Mapping[str, Any]) -> tuple[dict[str, Any], Losers | None, list[Example] | None]:
        """Splits a batch into the model's arguments, its losers if it brings them, and else its questions."""
        inputs = inputs_of(batch)
        if self.loss.weight == 0:
            return inputs, None, None
        ready = batch.get(LOSERS)
        if ready is not None:
            return inputs, Losers.of(ready), None
        if self.mixer is None:
            raise wrong("mixer", None, "an ImageMixer, since the batch does not bring its losers")
        mixer = self.mixer
        return inputs, None, examples_of(batch, self.token, mixer.tokenizer, bool(mixer.rule.leave_out))

    def _pair(self, inputs: dict[str, Any], losers: Losers | None, examples: list[Example] | None) -> PairedBatch:
        if examples is None or self.mixer is None:
            return PairedBatch(inputs, losers=losers)
        return PairedBatch(inputs, self.mixer.pair(examples))

    def _in_one_pass(self, paired: PairedBatch, losers: Losers | None) -> tuple[AnswerLogp, AnswerLogp | None]:
        inputs, labels = _without_labels(paired.inputs), paired.labels
        if losers is None:
            return answer_logp(self.model(**inputs), labels), None
        both = answer_logp(self.model(**join(inputs, losers.inputs)), torch.cat([labels, losers.labels]))
        return AnswerLogp(*(part[: len(labels)] for part in both)), AnswerLogp(*(part[len(labels) :] for part in both))

    @torch.no_grad()
    def _refer(self, paired: PairedBatch, losers: Losers) -> tuple[AnswerLogp, AnswerLogp]:
        reference = in_eval_mode(self.reference)
        winners = answer_logp(reference(**_without_labels(paired.inputs)), paired.labels)
        return winners.take(losers.rows), answer_logp(reference(**losers.inputs), losers.labels)


def _without_labels(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name != LABELS}


def _image_numbers(paired: PairedBatch, token: int | None) -> list[int]:
    numbers: list[Any] = find_images(paired.inputs, len(paired.labels), token)
    return [numbers[row] for row in paired.pairing.rows] if paired.pairing is not None else []


def _reason_against_winner(model: nn.Module, mixer: ImageMixer | None) -> str | None:
    """Why the winner's pass cannot be the saliency pass, or None if it can."""
    if mixer is None or not mixer.reads_attention or mixer.saliency is None:
        return "the mixer reads no attention"
    encoder = mixer.saliency.backbone.model
    if not any(module is encoder for module in model.modules()):
        return "the mixer's encoder is not in the model"
    return mixer.saliency.reason_against_reading()

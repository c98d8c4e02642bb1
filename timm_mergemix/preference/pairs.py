"""Pairs of a winner and a loser: an image and its mix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from ..errors import Words, check_tensor, unusable, with_article, wrong
from ..mix.batch import MixedBatch, moved, with_tensors
from ..mix.mixer import Mixer
from ..mix.transfer import to_device
from ..mixers.mergemix import MergeMix

__all__ = ["PairBatch", "PreferencePairs"]


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Winners, losers, and the share of each loser that is its winner.

    Attributes:
        winner: (B, C, H, W), the unmixed images.
        loser: (B, C, H, W), their mixes, in the same dtype.
        label: (B,) int64, the class of the winner, which is the answer for both.
        partner_label: (B,) int64, the class of the image that was mixed in.
        partner: (B,) int64, the row of that image in ``batch``.
        ratio: (B,) float32, the measured share of the loser that is the winner, even if ``batch.ratio`` is the
            published Gaussian re-scaling.
        mass: (B,) float32, target mass of ``label`` in the loser, as `MixedBatch.mass`.
        kind: Name of the blend of each row; ``"none"`` if it was not mixed.
        batch: The mix that they come from, with all its rows.
    """

    winner: Tensor
    loser: Tensor
    label: Tensor
    partner_label: Tensor
    partner: Tensor
    ratio: Tensor
    mass: Tensor
    kind: tuple[str, ...]
    batch: MixedBatch

    @classmethod
    def of(cls, batch: MixedBatch) -> PairBatch:
        """The pairs of a mix, one row per image.

        Raises:
            MergeMixError: If its labels are not (B,) integers.
        """
        mass = batch.mass  # checks the labels
        label = batch.labels.long()
        ratio = batch.ratio if batch.measured is None else batch.measured
        return cls(batch.raw, batch.images, label, label[batch.index], batch.index, ratio, mass, batch.kind, batch)

    @property
    def is_pair(self) -> Tensor:
        """(B,) bool, False if there is no loser: the partner has the same class, or nothing was mixed in."""
        return self.mass < 1

    def select(self) -> PairBatch:
        """Only the rows that are pairs, possibly none. ``batch`` is kept whole, so ``partner`` stays valid."""
        chosen = self.is_pair.cpu().nonzero().squeeze(1)  # an accelerator is waited for once
        (rows,) = to_device([chosen], self.is_pair.device)
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {name: value[rows] for name, value in values.items() if isinstance(value, Tensor)}
        return PairBatch(**values | {"kind": tuple(self.kind[row] for row in chosen.tolist())})

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> PairBatch:
        """The same pairs, including ``batch``, on another device."""
        return moved(self, device, non_blocking)

    def pin_memory(self) -> PairBatch:
        """The same pairs, including ``batch``, in pinned memory."""
        return with_tensors(self, Tensor.pin_memory)

    def __len__(self) -> int:
        return len(self.winner)

    def __repr__(self) -> str:
        kinds = ", ".join(f"{self.kind.count(kind)} {kind}" for kind in dict.fromkeys(self.kind))
        return f"PairBatch(winner={tuple(self.winner.shape)}, {int(self.is_pair.sum())} pairs, {kinds})"


class PreferencePairs:
    """Turns batches into winners and losers: the loser is the winner's mix, and the mixing ratio is its score.

    Jin et al., "MergeMix: A Unified Augmentation Paradigm for Visual and Multi-Modal Understanding", ICLR 2026
    (arXiv 2510.23479). Call it on images and labels, or pass `collate` to a ``DataLoader``::

        pairs = PreferencePairs(Mixup(num_classes=10))
        order = torch.Generator().manual_seed(0)
        loader = DataLoader(dataset, 64, shuffle=True, generator=order, collate_fn=pairs.collate, num_workers=4)

    Shuffle the data: partners come from the same batch, two images of one class are not a pair, and image folders are
    read class by class.

    Args:
        mixer: Makes the losers: `MergeMix`, `Mixup` (also CutMix), `ResizeMix`, or any other `Mixer` with integer
            labels.
        collate: Function that `collate` uses to turn samples into images and labels; None uses torch's
            ``default_collate``.

    Raises:
        MergeMixError: If ``mixer`` is not a `Mixer`, or if it mixes multi-label rows.
    """

    def __init__(self, mixer: Mixer, collate: Callable[[Any], Any] | None = None) -> None:
        if not isinstance(mixer, Mixer):
            raise wrong("mixer", mixer, "a mixer of this library, such as timm_mergemix.MergeMix")
        if mixer.multi_label:
            raise wrong("mixer", mixer, "a mixer without multi_label, since the answer is one class")
        if collate is not None and not callable(collate):
            raise wrong("collate", collate, "a function that takes a list of samples, or None")
        self.mixer = mixer
        self._collate = default_collate if collate is None else collate

    def __call__(self, images: Tensor, labels: Tensor) -> PairBatch:
        """Mixes a batch.

        Args:
            images: (B, C, H, W), float or uint8, the winners.
            labels: (B,) integers.

        Raises:
            MergeMixError: If the input does not fit.
        """
        check_tensor("labels", labels, ("B",), "integer")
        return PairBatch.of(self.mixer.mix(images, labels))

    def collate(self, samples: list[Any]) -> PairBatch:
        """Makes a batch of samples and mixes it; for ``DataLoader(collate_fn=pairs.collate)``.

        `MergeMix` runs its encoder here. A worker process would run a copy from the time when the worker started, so
        `MergeMix` is refused in workers. Use ``num_workers=0``, or let the loader make plain batches and call this
        object on each. A mixer with its own generator is refused in workers too, since all workers would draw the same
        numbers; without one, torch seeds each worker.

        Args:
            samples: (image, label) tuples as a Dataset yields them; all images have the same shape (C, H, W).

        Raises:
            MergeMixError: If the samples do not fit, or if the mixer cannot run in a worker.
        """
        if get_worker_info() is not None:
            self._check_in_worker()
        batch = self._collated(samples)
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise wrong(
                "samples",
                Words(f"samples that collate to {with_article(type(batch).__name__)}"),
                "(image, label) tuples",
            )
        return self(*batch)

    def _collated(self, samples: Any) -> Any:
        if self._collate is not default_collate:
            return self._collate(samples)
        if not isinstance(samples, (list, tuple)) or not samples:
            raise wrong("samples", samples, "a list of at least one (image, label) tuple")
        try:
            return default_collate(list(samples))
        except (TypeError, ValueError, KeyError, IndexError, RuntimeError) as error:
            raise unusable("samples", f"cannot be collated into a batch: {str(error).splitlines()[0]}") from error

    def _check_in_worker(self) -> None:
        if isinstance(self.mixer, MergeMix):
            wanted = "a mixer without an encoder inside a worker; use MergeMix with num_workers=0"
            raise wrong("mixer", Words("MergeMix"), f"{wanted}, or call PreferencePairs on the loader's batches")
        if self.mixer.generator is not None:
            raise wrong(
                "mixer", Words("a mixer with its own generator, which is the same in all workers"), "generator=None"
            )

    def __repr__(self) -> str:
        return f"PreferencePairs({self.mixer!r})"

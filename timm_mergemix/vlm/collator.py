"""Losers made before any processor, so that every model can learn from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import get_worker_info

from ..errors import Words, wrong
from .batches import LABELS, LOSERS, inputs_of
from .config import ENCODED
from .examples import ABOUT, ANSWER, IMAGE_ID, Example, check_ids, check_readable, read_answers, read_pictures
from .mixer import ImageMixer
from .partners import Pairing

__all__ = ["PairCollator"]

Collate = Callable[[list[dict[str, Any]]], Mapping[str, Any]]


class PairCollator:
    """Collates examples, and their losers beside them: for models whose processors make patches or tiles of images.

    Jin et al., "MergeMix", ICLR 2026 (arXiv 2510.23479). The images are mixed as they are, PIL images or uint8 tensors
    of any size: a partner is resized to the size of the image into which it is mixed, so that a loser has as many
    tokens as its winner. Then the collator of the model runs on the losers as on any examples.

    An example is a dictionary with an image under ``image``; it may have ``image_id``, ``answer`` and ``about``, see
    `SequencePreferenceStep`. Give the result as ``collate_fn`` or ``data_collator``, and `SequencePreferenceStep` or
    `MergeMixTrainer` no mixer.

    Args:
        collate: The model's own collator: examples -> a dictionary of the model's arguments with ``labels``.
        mixer: Makes the losers. One that reads attention, or takes the grid of an encoder, runs that encoder here, so
            not in a worker process of a loader.
        image: Under which name an example has its image. A list of one image is taken too.

    Raises:
        MergeMixError: If an argument does not fit.
    """

    def __init__(self, collate: Collate, mixer: ImageMixer, image: str = "image") -> None:
        if not callable(collate):
            raise wrong("collate", collate, "a function of examples")
        if not isinstance(mixer, ImageMixer):
            raise wrong("mixer", mixer, "a timm_mergemix.vlm.ImageMixer")
        if not isinstance(image, str):
            raise wrong("image", image, "the name under which an example has its image")
        self.collate = collate
        self.mixer = mixer
        self.image = image
        self._seeded: int | None = None

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """A batch of the model's arguments, with ``losers``.

        Args:
            examples: Dictionaries, which are left as they are.

        Raises:
            MergeMixError: If the examples do not fit.
        """
        if get_worker_info() is not None and self.mixer.config.kind in ENCODED:
            got = Words(f"one of kind {self.mixer.config.kind!r} in a worker process")
            raise wrong("mixer", got, "num_workers=0, since it needs its encoder; or another kind")
        self._seed()
        batch = dict(self.collate([dict(example) for example in examples]))
        inputs = inputs_of(batch)
        pairing = self.mixer.pair(self._examples(examples, inputs))
        return {**inputs, LOSERS: self._losers(examples, pairing)}

    def _seed(self) -> None:
        """In a worker: chance of its own in each epoch. A copy of the generator would repeat itself."""
        worker = get_worker_info()
        if worker is None or self.mixer.generator is None or self._seeded == worker.seed:
            return
        self._seeded = worker.seed
        self.mixer.generator = torch.Generator().manual_seed(
            (self.mixer.generator.initial_seed() ^ worker.seed) % 2**63
        )

    def _losers(self, examples: Sequence[Mapping[str, Any]], pairing: Pairing) -> dict[str, Any]:
        rows = torch.tensor(pairing.rows, dtype=torch.long)
        if not len(pairing):
            return {"inputs": {}, "labels": torch.empty(0, 0).long(), "rows": rows, "ratio": torch.empty(0)}
        mixes = self.mixer.mix(pairing)
        mixed = [self._with_image(examples[row], image) for row, image in zip(pairing.rows, mixes.images, strict=True)]
        inputs = inputs_of(self.collate(mixed))
        return {"labels": inputs.pop(LABELS), "inputs": inputs, "rows": rows, "ratio": mixes.ratio}

    def _examples(self, examples: Sequence[Mapping[str, Any]], inputs: Mapping[str, Any]) -> list[Example]:
        if len(inputs[LABELS]) != len(examples):
            raise wrong(LABELS, inputs[LABELS], f"a row for each of the {len(examples)} examples")
        if not any(self.image in example for example in examples):
            wanted = (
                f"{self.image!r} among its names; transformers' Trainer drops it unless remove_unused_columns=False"
            )
            raise wrong("examples", Words(f"one with {', '.join(examples[0])}"), wanted)
        texts = read_answers(inputs[LABELS], self.mixer.tokenizer)
        if any(ANSWER not in each for each in examples):
            check_readable(self.mixer.tokenizer, bool(self.mixer.rule.leave_out))
        images = [self._image_of(example) for example in examples]
        found = zip(examples, read_pictures(images), strict=True)
        pictures = [_plain(each.get(IMAGE_ID, picture)) for each, picture in found]
        check_ids(pictures)
        return [
            Example(image, picture, each.get(ANSWER, text), each.get(ABOUT))
            for image, each, picture, text in zip(images, examples, pictures, texts, strict=True)
        ]

    def _image_of(self, example: Mapping[str, Any]) -> Any:
        image = example.get(self.image)
        if isinstance(image, (list, tuple)):
            return image[0] if len(image) == 1 else None
        return image

    def _with_image(self, example: Mapping[str, Any], image: Any) -> dict[str, Any]:
        is_list = isinstance(example[self.image], (list, tuple))
        return {**example, self.image: [image] if is_list else image}


def _plain(value: Any) -> Any:
    """A number as Python has it: a tensor is never equal to another one in a set."""
    return value.item() if getattr(value, "ndim", None) == 0 else value

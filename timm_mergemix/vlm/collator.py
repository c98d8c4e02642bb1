"""Makes losers from raw images, before any processor, so that they work with every model."""

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
    """Collates examples together with their losers, for models whose processors cut images into patches or tiles.

    Jin et al., "MergeMix", ICLR 2026 (arXiv 2510.23479). The raw images are mixed, PIL images or uint8 tensors of any
    size. A partner is resized to the image into which it is mixed, so a loser has as many tokens as its winner. The
    model's collator then runs on the losers as on any other examples.

    An example is a dictionary with an image under ``image``. It may also have ``image_id``, ``answer`` and ``about``,
    which `SequencePreferenceStep` explains. Pass the collator as ``collate_fn`` or ``data_collator``, and pass no mixer
    to `SequencePreferenceStep` or `MergeMixTrainer`.

    Args:
        collate: The model's own collator: examples -> a dictionary of the model's arguments with ``labels``.
        mixer: Makes the losers. A mixer that needs an encoder runs it here, so it cannot be used in a worker process of
            a loader.
        image: Key of the image in an example. The value may also be a list of one image.

    Raises:
        MergeMixError: If an argument does not fit.
    """

    def __init__(self, collate: Collate, mixer: ImageMixer, image: str = "image") -> None:
        if not callable(collate):
            raise wrong("collate", collate, "a function that takes a list of examples")
        if not isinstance(mixer, ImageMixer):
            raise wrong("mixer", mixer, "a timm_mergemix.vlm.ImageMixer")
        if not isinstance(image, str):
            raise wrong("image", image, "the key of the image in an example, a string")
        self.collate = collate
        self.mixer = mixer
        self.image = image
        self._seeded: int | None = None

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Makes a batch of the model's arguments, with ``losers``.

        Args:
            examples: Dictionaries, which are not changed.

        Raises:
            MergeMixError: If the examples do not fit.
        """
        if get_worker_info() is not None and self.mixer.config.kind in ENCODED:
            got = Words(f"a mixer of kind {self.mixer.config.kind!r} in a worker process")
            raise wrong("mixer", got, "num_workers=0, since this kind needs an encoder, or another kind")
        self._seed()
        batch = dict(self.collate([dict(example) for example in examples]))
        inputs = inputs_of(batch)
        pairing = self.mixer.pair(self._examples(examples, inputs))
        return {**inputs, LOSERS: self._losers(examples, pairing)}

    def _seed(self) -> None:
        """Reseeds the generator in each worker and epoch, since its copies would all draw the same numbers."""
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
            raise wrong(LABELS, inputs[LABELS], f"one row for each of the {len(examples)} examples")
        if not any(self.image in example for example in examples):
            wanted = f"{self.image!r} among the keys; transformers' Trainer drops it unless remove_unused_columns=False"
            raise wrong("examples", Words(f"an example with keys {', '.join(examples[0])}"), wanted)
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
    """Converts a scalar tensor to a Python number, since tensors hash by identity."""
    return value.item() if getattr(value, "ndim", None) == 0 else value

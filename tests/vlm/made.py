"""Tiny questions with images, and a stand-in for a tokenizer."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from timm_mergemix.vlm.answers import AnswerLogp
from timm_mergemix.vlm.examples import Example
from timm_mergemix.vlm.partners import Pairing

KINDS = ("mergemix", "random", "cutmix", "mixup", "resizemix")
# Kinds whose losers take each pixel unchanged from one of the two images.
WHOLE = ("mergemix", "random", "cutmix")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def example(picture, answer="red", shape=(3, 8, 8), about=None):
    """A question about a picture whose pixels are all equal to its number."""
    return Example(torch.full(shape, float(picture)), picture, answer, about)


def examples(*answers, **options):
    """One question per answer, each about a different picture."""
    return [example(number, answer, **options) for number, answer in enumerate(answers)]


def pairing_of(own, partners):
    """Pairs of given images and given partners."""
    sides = ([Example(image, number, "red") for number, image in enumerate(side)] for side in (own, partners))
    return Pairing(tuple(range(len(own))), *map(tuple, sides))


def zeros_and_ones(count, height, width, form="float"):
    """Pairs of an image of zeros and a partner of ones, or of 255 for bytes."""
    if form == "pil":
        return pairing_of(*([Image.new("RGB", (width, height), (v,) * 3)] * count for v in (0, 255)))
    dtype, high = (torch.float32, 1) if form == "float" else (torch.uint8, 255)
    return pairing_of(*([torch.full((3, height, width), v, dtype=dtype)] * count for v in (0, high)))


def share_of_zero(image):
    """The share of a mix of `zeros_and_ones` that is the image of zeros, measured on the pixels."""
    pixels = np.asarray(image, dtype=np.float64)
    if isinstance(image, Image.Image) or image.dtype == torch.uint8:
        pixels = pixels / 255
    return 1 - pixels.mean()


def answers_of(count, length, seed=0, dtype=torch.float64, mask=None):
    """Random log-probabilities, a leaf that requires gradients; by default each answer has at least one token."""
    generator = seeded(seed)
    logp = -torch.rand(count, length, generator=generator, dtype=dtype) * 4
    if mask is None:
        mask = torch.rand(count, length, generator=generator) < 0.6
        mask[torch.arange(count), torch.randint(length, (count,), generator=generator)] = True
    return AnswerLogp(logp.requires_grad_(), mask)


WORDS = {20: "Yes.", 21: "no", 22: "red", 23: "blue", 24: "a", 25: "green", 27: "certainly"}


class Tokenizer:
    """Decodes token ids with a table; ids that are not in it are special tokens."""

    def decode(self, tokens, skip_special_tokens=False):
        assert skip_special_tokens
        return " " + " ".join(WORDS[token] for token in tokens if token in WORDS) + " "

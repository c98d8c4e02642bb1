"""Makes the losers of questions: images partly replaced by another picture for which the answer is wrong."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import check_images, check_saliency
from ..errors import Words, wrong
from ..merge.find.search import find_backbone
from ..merge.schedule import R
from ..mix.blends import Blend, Pairs
from ..mix.draw import numpy_rng
from ..saliency.config import SaliencyConfig
from ..saliency.passes import SaliencyPass
from .blends import blend_of, largest_lambda
from .config import ENCODED, ImageMixConfig
from .draw import LoserDraw
from .examples import Example
from .partners import YES_NO, Pairing, PartnerRule, choose_partners
from .raw import Raw

__all__ = ["ImageMixer", "Mixes"]


class Mixes(NamedTuple):
    """Mixed images and their ratios.

    Attributes:
        images: (n, C, H, W) in the dtype of the clean images; a list if their sizes differ.
        ratio: (n,) float32 on the CPU or the device of the images, the share of pixels from the clean image.
    """

    images: Any
    ratio: Tensor


class ImageMixer:
    """Makes the loser of each question: its image with a part replaced by another picture.

    Jin et al., "MergeMix: A Unified Augmentation Paradigm for Visual and Multi-Modal Understanding", ICLR 2026
    (arXiv 2510.23479). A lam is drawn for each image, and the ratio is measured on the pixels of the loser.

    The partner always shows a different picture, and one for which the answer is wrong; otherwise the loser would be as
    good as the winner. The mixer cannot judge that from a picture. So by default, a picture whose own answer is equal
    counts as one for which the answer is right, and a question answered by yes or no has no loser; ``still_right``
    replaces both rules. `left_out` counts the questions without a loser, by reason.

    Args:
        encoder: Model whose attention decides which patches are kept: the vision-language model in training, its vision
            model, or any other supported encoder. ``"random"`` needs it too, for its grid of patches.
        kind: ``"mergemix"``, ``"random"`` (random patches), ``"cutmix"``, ``"mixup"`` or ``"resizemix"``.
        alpha: lam ~ Beta(alpha, alpha), clipped so that at least one patch or pixel is the partner's.
        scale: Range of the scale for ``"resizemix"``, as in `timm_mergemix.ResizeMix`.
        still_right: ``still_right(own, other)`` returns whether the answer of one question is right for the picture of
            another; the arguments are their values in the column ``about``.
        leave_out: First words of answers whose questions get no loser. None means yes and no, or nothing if
            ``still_right`` is given.
        tokenizer: Decodes answers from labels. Not needed if batches have a column ``answer`` or nothing is left out.
        store: Number of earlier pictures that are kept as partners; with 0, batches of one question are refused.
        saliency_r: Token merging in the saliency pass, as in `timm_mergemix.MergeMix`.
        saliency_scale: Image size of the saliency pass as a share of the full size, as in `timm_mergemix.MergeMix`.
        layer: The block whose attention is read, as in `timm_mergemix.MergeMix`.
        divide: Whether a merged token's attention is divided among its patches, as in `timm_mergemix.MergeMix`.
        image_mean: Mean with which the images are normalised, as in `timm_mergemix.MergeMix`.
        image_std: Standard deviation with which the images are normalised, as in `timm_mergemix.MergeMix`.
        encoder_mean: Mean that the encoder expects, as in `timm_mergemix.MergeMix`.
        encoder_std: Standard deviation that the encoder expects, as in `timm_mergemix.MergeMix`.
        generator: Source of randomness; None uses torch's default generator.

    Raises:
        MergeMixError: If an argument is out of its range, the encoder is not supported, or the kind does not use one.
    """

    def __init__(
        self,
        encoder: nn.Module | None = None,
        kind: str = "mergemix",
        *,
        alpha: float = 1.0,
        scale: tuple[float, float] = (0.1, 0.8),
        still_right: Callable[[Any, Any], bool] | None = None,
        leave_out: Sequence[str] | None = None,
        tokenizer: Any = None,
        store: int = 16,
        saliency_r: R | None = ("keep", 0.5),
        saliency_scale: float = 1.0,
        layer: int | str | None = None,
        divide: bool = True,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        encoder_mean: Sequence[float] | None = None,
        encoder_std: Sequence[float] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        options = locals()
        self.config = config = ImageMixConfig.of(options)
        if generator is not None and not isinstance(generator, torch.Generator):
            raise wrong("generator", generator, "a torch.Generator or None")
        if still_right is not None and not callable(still_right):
            raise wrong("still_right", still_right, "a function that takes two values, or None")
        self.saliency = _saliency(encoder, config.kind, SaliencyConfig.of(options))
        self.blend = blend_of(config, self.saliency, scale)
        words = config.leave_out if config.leave_out is not None else YES_NO if still_right is None else ()
        self.rule = PartnerRule(still_right, tuple(word.casefold() for word in words))
        self.tokenizer = tokenizer
        self.generator = generator
        self.recent: deque[Example] = deque(maxlen=int(config.store))
        self.left_out: Counter[str] = Counter()
        self.seen = 0

    @property
    def left_out_share(self) -> float:
        """Share of the questions so far that have no loser; nan before the first question."""
        return self.left_out.total() / self.seen if self.seen else float("nan")

    @property
    def reads_attention(self) -> bool:
        """Whether the attention of an encoder decides which patches are kept."""
        return self.config.kind == "mergemix"

    def pair(self, examples: Sequence[Example]) -> Pairing:
        """Chooses the partners of a batch, before any image is mixed.

        Args:
            examples: The questions of the batch.

        Raises:
            MergeMixError: If a batch has one question and ``store`` is 0, or if ``about`` is missing for
                ``still_right``.
        """
        if len(examples) == 1 and not self.config.store:
            raise wrong(
                "store", 0, "at least 1, to keep images of earlier batches, since a batch has only one question"
            )
        pairing = choose_partners(examples, list(self.recent), self.rule, numpy_rng(self.generator))
        self._remember(examples)
        self.left_out.update(pairing.left_out)
        self.seen += pairing.seen
        return pairing

    def mix(self, pairing: Pairing, saliency: Tensor | None = None) -> Mixes:
        """Mixes the images of pairs.

        Args:
            pairing: What `pair` returned. Images are (C, H, W) tensors of the same size, or PIL images and uint8
                tensors of any size, for which a partner is resized to the size of the clean image.
            saliency: (n, h, w) float, saliency maps of the clean images; None computes them if the kind reads
                attention.

        Raises:
            MergeMixError: If there are no pairs, or if the images do not fit the encoder.
        """
        if not len(pairing):
            raise wrong("pairing", Words("no pairs"), "at least one")
        if saliency is not None:
            check_saliency(saliency, len(pairing))
        images = [example.image for example in pairing.own]
        both = [*images, *(example.image for example in pairing.partners)]
        if all(isinstance(image, Tensor) and image.shape == images[0].shape for image in both):
            own = torch.stack(images)
            partners = torch.stack([other.image.to(own) for other in pairing.partners])
            blend = self._blend(own, partners, saliency, numpy_rng(self.generator))
            return Mixes(blend.images, blend.ratio)
        return self._mix_raw(pairing, saliency)

    def state_dict(self) -> dict[str, Any]:
        """The pictures kept as partners, and the counts: with them, a training resumes as if it had never stopped."""
        return {
            "recent": [tuple(example) for example in self.recent],
            "left_out": dict(self.left_out),
            "seen": self.seen,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores the state that `state_dict` returned.

        Raises:
            MergeMixError: If it is not such a state. In that case nothing is changed.
        """
        try:
            recent = [Example(*values) for values in state["recent"]]
            left_out, seen = Counter(state["left_out"]), int(state["seen"])
        except (KeyError, TypeError, ValueError) as error:
            raise wrong("state", state, "what ImageMixer.state_dict returned") from error
        self.recent.clear()
        self.recent.extend(recent)
        self.left_out, self.seen = left_out, seen

    def _blend(self, own: Tensor, partners: Tensor, saliency: Tensor | None, rng: np.random.Generator) -> Blend:
        """Mixes images (n, C, H, W) with others of the same shape."""
        check_images(own)
        count = len(own)
        rows = torch.arange(count, device=own.device)
        if saliency is not None:  # the saliency of partners is not used
            saliency = torch.cat([saliency.float(), torch.zeros_like(saliency, dtype=torch.float32)])
        grid = None if saliency is None else (saliency.shape[1], saliency.shape[2])
        pairs = Pairs(torch.cat([own, partners]), torch.cat([rows + count, rows]), rows, saliency)
        return self.blend(pairs, LoserDraw(rng, count, largest_lambda(self.config, self.saliency, own, grid)))

    def _mix_raw(self, pairing: Pairing, saliency: Tensor | None) -> Mixes:
        raw = [Raw.of(example.image) for example in pairing.own]
        partners = [Raw.of(other.image).resized(own.pixels) for own, other in zip(raw, pairing.partners, strict=True)]
        if saliency is None and self.reads_attention and self.saliency is not None:
            device = self.saliency.backbone.parameter.device
            for own in raw:
                self.saliency.check(own.pixels[None].to(device))
            shown = torch.stack([own.at(_size_of(self.saliency)).to(device) for own in raw])
            saliency = self.saliency(shown)
        rng = numpy_rng(self.generator)
        images, ratios = [], []
        for number, (own, partner) in enumerate(zip(raw, partners, strict=True)):
            given = None if saliency is None else saliency[number : number + 1].to(own.pixels.device)
            blend = self._blend(own.pixels[None], partner[None], given, rng)
            images.append(own.like(blend.images[0]))
            ratios.append(blend.ratio)
        return Mixes(images, torch.cat(ratios))

    def _remember(self, examples: Sequence[Example]) -> None:
        """Stores the latest pictures, each once, as copies: a row of a batch would keep the whole batch alive."""
        known = {example.picture for example in self.recent}
        new = {each.picture: each for each in examples if each.image is not None and each.picture not in known}
        for example in list(new.values())[-self.config.store :] if self.config.store else ():
            image = example.image
            self.recent.append(
                example._replace(image=image.detach().clone() if isinstance(image, Tensor) else image.copy())
            )

    def __repr__(self) -> str:
        share = f"{100 * self.left_out_share:.1f} % of {self.seen} left out" if self.seen else "nothing mixed yet"
        return f"ImageMixer({self.config.kind!r}, alpha={self.config.alpha:g}, store={self.config.store}, {share})"


def _saliency(encoder: nn.Module | None, kind: str, config: SaliencyConfig) -> SaliencyPass | None:
    if kind not in ENCODED:
        if encoder is not None:
            raise wrong("encoder", encoder, f"None, since {kind!r} does not use an encoder")
        return None
    if encoder is None:
        raise wrong("encoder", None, f"a supported encoder, such as the model in training, for {kind!r}")
    backbone = find_backbone(encoder, "encoder")
    # For a vision-language model, the vision model inside it.
    return SaliencyPass(encoder if backbone.reading is None else backbone.model, config)


def _size_of(saliency: SaliencyPass) -> tuple[int, int]:
    """The size in pixels at which images of other sizes are shown to an encoder."""
    return saliency.backbone.default_size or saliency.backbone.input_size(224, 224)

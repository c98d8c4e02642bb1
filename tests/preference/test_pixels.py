"""Images become 8-bit pixels by the statistics that they were normalised by."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from timm_mergemix import MergeMixError, Mixup
from timm_mergemix.preference.disk import PairFolder, write_pairs
from timm_mergemix.preference.pairs import PreferencePairs
from timm_mergemix.preference.pixels import to_pil

from ..mix.batches import noise, quick
from .written import MEAN, STD, batch_of, files


@quick
@given(
    st.integers(0, 10**6),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64]),
    st.sampled_from([1, 3]),
)
def test_floats_come_back_within_half_a_grey_level(seed: int, normal: bool, dtype: torch.dtype, channels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(4, channels, 5, 6, generator=generator).to(dtype)
    images.view(-1)[:2] = torch.tensor([0.0, 1.0])
    mean, std = torch.tensor(MEAN[:channels]).view(-1, 1, 1), torch.tensor(STD[:channels]).view(-1, 1, 1)
    pairs = PreferencePairs(Mixup(num_classes=10, generator=generator))(
        (images - mean) / std if normal else images, torch.arange(4)
    )
    statistics = {"mean": MEAN[:channels], "std": torch.tensor(STD[:channels])} if normal else {}
    loser = pairs.loser * std + mean if normal else pairs.loser
    with TemporaryDirectory() as directory:
        write_pairs([pairs], directory, **statistics)
        for row, item in enumerate(PairFolder(directory)):
            assert (item["winner"] / 255 - images[row]).abs().max() <= 0.5 / 255 + 1e-5
            assert (item["loser"] / 255 - loser[row]).abs().max() <= 0.5 / 255 + 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_comes_back_within_a_grey_level(tmp_path: Path, dtype: torch.dtype) -> None:
    grey = torch.arange(256.0).view(1, 1, 16, 16).expand(2, 3, 16, 16)
    images = ((grey / 255 - 0.5) / 0.5).to(dtype)
    batch = PreferencePairs(Mixup(num_classes=10))(images, torch.arange(2))
    write_pairs([batch], tmp_path, mean=0.5, std=0.5)
    assert (PairFolder(tmp_path)[0]["winner"].float() - grey[0]).abs().max() <= (0 if dtype == torch.float16 else 1)


def test_up_to_a_grey_level_outside_is_rounding(tmp_path: Path) -> None:
    images = torch.tensor([-0.9, 255.9]).view(2, 1, 1, 1).expand(2, 3, 4, 4) / 255
    write_pairs([batch_of(images)], tmp_path)
    assert [item["winner"].unique().tolist() for item in PairFolder(tmp_path)] == [[0], [255]]


BAD = [
    ("mean, std: got None that leave pixels of the winner from -", noise(2, 3, 8, 8), {}),
    ("mean, std: got None that leave pixels of the winner from -0.5 to 0", torch.full((2, 3, 8, 8), -0.5).triu(), {}),
    ("mean, std: got None that leave pixels of the winner from 0 to 3", torch.full((2, 3, 8, 8), 3.0).triu(), {}),
    ("mean, std: got such that leave pixels", noise(2, 3, 8, 8) * 9, {"mean": MEAN, "std": STD}),
    (r"mean, std: got \(\(0.485", torch.rand(2, 3, 8, 8), {"mean": MEAN}),
    (r"mean, std: got \(None", torch.rand(2, 3, 8, 8), {"std": STD}),
    (r"mean, std: got \(\(0.5, 0.5", torch.rand(2, 3, 8, 8), {"mean": (0.5, 0.5), "std": 1.0}),
    (r"mean, std: got \(0.0, 0.0\)", torch.rand(2, 3, 8, 8), {"mean": 0.0, "std": 0.0}),
    (r"mean, std: got \('a'", torch.rand(2, 3, 8, 8), {"mean": "a", "std": 1.0}),
    (r"mean, std: got \(nan", torch.rand(2, 3, 8, 8), {"mean": float("nan"), "std": 1.0}),
    ("mean, std: got 3 numbers, wanted one", torch.rand(2, 1, 8, 8), {"mean": MEAN, "std": STD}),
    ("winner: got a float32 tensor", torch.rand(2, 4, 8, 8), {}),
    ("winner: got a uint8 tensor", noise(2, 2, 8, 8, dtype=torch.uint8), {}),
    ("format: got 'jpeg', wanted one of 'png', 'bmp'", torch.rand(2, 3, 8, 8), {"format": "jpeg"}),
    ("classes: got .*, wanted a name for class 1", torch.rand(2, 3, 8, 8), {"classes": ["only"]}),
]


@pytest.mark.parametrize(("message", "images", "options"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_written_is_named(
    tmp_path: Path, message: str, images: Tensor, options: dict[str, object]
) -> None:
    torch.manual_seed(0)
    with pytest.raises(MergeMixError, match=rf"^{message}"):
        write_pairs([batch_of(images)], tmp_path / "new", **options)
    assert not any(name.startswith(("winner", "loser")) for name in files(tmp_path))


def test_images_of_8_bits_are_kept_and_those_of_16_are_refused():
    image = torch.arange(12, dtype=torch.uint8).view(3, 2, 2)
    assert torch.equal(torch.from_numpy(np.array(to_pil("winner", image, None))).permute(2, 0, 1), image)
    with pytest.raises(MergeMixError, match=r"^winner: got an int16 tensor"):
        to_pil("winner", image.to(torch.int16), None)

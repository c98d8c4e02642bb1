"""What cannot work together is refused, with the flag; what is none of our business is not."""

from __future__ import annotations

import pytest

from timm_mergemix import MergeMixError

from .made import ask


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--torchscript", "--merge-r", "2"], "--torchscript: a scripted model can neither merge"),
        (["--torchscript", "--mergemix", "1"], "--torchscript: a scripted model can neither merge"),
        (["--preference", "1"], "--preference: got 1.0, wanted --mergemix, --mixup, --cutmix or --mixer"),
        (["--mixer", "resizemix", "--mergemix", "1"], "--mixer: got 'resizemix', wanted no --mergemix"),
        (["--mixer", "resizemix", "--mergemix-recipe", "scratch"], "--mixer: got 'resizemix', wanted no --mergemix"),
        (["--mixer", "resizemix", "--cutmix", "1"], "--mixer: got 'resizemix', wanted no --mergemix"),
        (["--mixer", "resizemix", "--mixup-prob", "0"], "--mixup-prob: got 0.0, wanted a number > 0"),
        (["--mergemix", "1", "--mergemix-prob", "0"], "^--mergemix-prob: got 0.0, wanted a number > 0, since nothing"),
        (["--mergemix", "1", "--mixup-prob", "0"], "^--mixup-prob: got 0.0, wanted a number > 0, since nothing"),
        (["--preference", "1", "--mixup", "1", "--mixup-prob", "0"], "--mixup-prob: got .*nothing would be mixed"),
        (["--mergemix", "1", "--naflex-loader"], "--naflex-loader: its batches are sequences"),
        (["--mergemix", "1", "--jsd-loss"], "--jsd-loss: it compares"),
        (["--mergemix", "1", "--aug-splits", "3"], "--aug-splits: got 3, wanted 0"),
    ],
)
def test_what_cannot_work_is_refused(flags: list[str], message: str) -> None:
    with pytest.raises(MergeMixError, match=message):
        ask(*flags)


@pytest.mark.parametrize("flags", [["--torchscript"], ["--jsd-loss", "--aug-splits", "3", "--merge-r", "2"]])
def test_what_is_none_of_our_business_is_not(flags: list[str]) -> None:
    assert ask(*flags).mix is None


def test_mixup_alone_may_stand_beside_a_mergemix_that_never_comes() -> None:
    assert not ask("--mergemix", "1", "--mergemix-prob", "0", "--mixup", "0.8").reads

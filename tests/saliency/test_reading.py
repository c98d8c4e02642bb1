"""The attention that is read from a pass: of a block or a pool, and that the pass ends where it is asked to."""

from __future__ import annotations

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.find.search import find_backbone
from timm_mergemix.merge.record import StopForward
from timm_mergemix.saliency.reading import AttentionReading, check_left, source_of

from ..models import images, tiny


@pytest.mark.parametrize("stop", [True, False])
def test_the_attention_of_a_block_is_read_and_the_pass_ends_there_if_asked(stop: bool) -> None:
    model = mm.patch(tiny(), 2)
    backbone, ran = find_backbone(model), []
    model.blocks[2].register_forward_hook(lambda *_: ran.append(True))
    reading = AttentionReading(backbone, 2, 1, True, stop)
    with model.merging.scope(observer=reading.reader), reading:
        if stop:
            with pytest.raises(StopForward):
                model(images(model))
        else:
            model(images(model))
    attention = reading.attention()
    assert bool(ran) is not stop
    with mm.record(model) as rec:
        model(images(model))
    torch.testing.assert_close(attention, rec.layers[1].attention)


def test_a_layer_that_did_not_run_is_named() -> None:
    model = mm.patch(tiny(), 2)
    reading = AttentionReading(find_backbone(model), 2, 2, True, True)
    with reading, pytest.raises(MergeMixError, match="layer: block 2 did not run in the encoder's forward pass"):
        reading.attention()


def test_one_patch_is_not_enough_to_tell_patches_apart() -> None:
    check_left(2, 16, 8, 1)
    check_left(1, 1, 0, 1)  # there was one to begin with
    with pytest.raises(MergeMixError, match="saliency_r: got 8, wanted an r that leaves more than one of 16 patches"):
        check_left(1, 16, 8, 1)


def test_sources_are_said_in_words() -> None:
    assert (source_of(3), source_of("pool")) == ("block 3", "the attention pool")

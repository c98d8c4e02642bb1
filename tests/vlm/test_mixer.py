"""ImageMixer: its arguments, its store of pictures, and its counts of questions without a loser."""

from __future__ import annotations

import io
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from timm_mergemix import MergeMixError
from timm_mergemix.vlm import ImageMixer
from timm_mergemix.vlm.examples import Example, read_pictures

from ..mix.batches import quick
from ..models import tiny
from .made import KINDS, example, examples, pairing_of, seeded, zeros_and_ones

batches = st.lists(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abc")), max_size=5), max_size=5)


def mixer(kind="cutmix", seed=0, **options):
    encoder = tiny() if kind in ("mergemix", "random") else None
    return ImageMixer(encoder, kind, **({"generator": seeded(seed), "leave_out": ()} | options))


def chosen(pairing):
    return pairing.rows, [partner.picture for partner in pairing.partners]


def test_by_default_questions_answered_by_yes_or_no_are_left_out():
    mix = ImageMixer(kind="cutmix", generator=seeded())
    pairing = mix.pair(examples("Yes.", "red", "blue"))
    assert pairing.rows == (1, 2) and pairing.left_out == {"answered by a word that is left out": 1}


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"still_right": lambda own, other: False}, (0, 1, 2)),
        ({"still_right": lambda own, other: False, "leave_out": ("yes",)}, (1, 2)),
        ({"leave_out": ()}, (0, 1, 2)),
        ({"leave_out": ["RED"]}, (0, 2)),
        ({"still_right": lambda own, other: True}, ()),
    ],
)
def test_leave_out_and_still_right_decide_which_questions_have_a_loser(options, rows):
    pairing = ImageMixer(kind="cutmix", **options).pair(examples("Yes.", "red", "blue", about=1))
    assert pairing.rows == rows


def test_questions_without_a_loser_are_counted_by_reason():
    mix = mixer(leave_out=None)
    assert math.isnan(mix.left_out_share)
    mix.pair(examples("yes", "no", "red", "blue", ""))
    mix.pair([example(5, "yes"), Example(None, None, "green"), example(6, "white"), example(6, "black")])
    assert mix.left_out == {"answered by a word that is left out": 3, "no answer": 1, "not just one image": 1}
    assert mix.seen == 9
    assert mix.left_out_share == pytest.approx(5 / 9)


def test_a_batch_of_one_needs_a_store():
    with pytest.raises(MergeMixError, match=r"^store: got 0, wanted at least 1, to keep images of earlier batches"):
        mixer(store=0).pair(examples("red"))
    mix = mixer()
    assert mix.pair([example(0, "red")]).left_out == {"no other picture": 1}
    assert chosen(mix.pair([example(1, "blue")])) == ((0,), [0])


def test_a_batch_of_one_that_is_refused_changes_nothing():
    mix = mixer(store=0)
    before = mix.generator.get_state()
    with pytest.raises(MergeMixError):
        mix.pair(examples("red"))
    assert torch.equal(mix.generator.get_state(), before)
    assert mix.seen == 0 and not mix.left_out


def test_without_a_store_partners_come_from_the_same_batch():
    mix = mixer(store=0)
    mix.pair(examples("red", "blue"))
    assert not mix.recent
    assert mix.pair([example(7, "white"), example(7, "black")]).rows == ()


@quick
@given(batches, st.integers(0, 4), st.integers(0, 99))
def test_the_store_keeps_the_latest_pictures_each_once(rows, store, seed):
    mix = mixer(seed=seed, store=store)
    seen = []
    for batch in rows:
        known = {each.picture for each in mix.recent}
        if len(batch) != 1 or store:
            pairing = mix.pair([example(picture, answer) for picture, answer in batch])
            assert all(p.picture != o.picture for p, o in zip(pairing.partners, pairing.own, strict=True))
            seen += [picture for picture, _ in batch]
            assert {each.picture for each in mix.recent} <= known | {picture for picture, _ in batch}
        pictures = [each.picture for each in mix.recent]
        assert len(pictures) == len(set(pictures)) == min(store, len(set(seen)))
        assert all((each.image == each.picture).all() for each in mix.recent)


def test_the_store_keeps_a_picture_with_equal_pixels_once():
    mix, image = mixer(), torch.rand(3, 4, 4)
    for _ in range(3):
        batch = torch.stack([image, image])
        mix.pair([Example(own, picture, "red") for own, picture in zip(batch, read_pictures(list(batch)), strict=True)])
    assert len(mix.recent) == 1


def test_the_store_copies_rows_and_does_not_keep_the_batch_alive():
    mix, batch = mixer(), torch.rand(2, 3, 4, 4, requires_grad=True)
    wanted = batch.detach().clone()
    mix.pair([Example(image, row, f"{row}") for row, image in enumerate(batch)])
    batch.detach().zero_()
    for kept, image in zip(mix.recent, wanted, strict=True):
        assert torch.equal(kept.image, image)
        assert not kept.image.requires_grad
        assert kept.image.untyped_storage().nbytes() == image.numel() * 4


def test_the_store_copies_pil_images():
    mix, image = mixer(), Image.new("RGB", (4, 4), (9, 9, 9))
    mix.pair([Example(image, 0, "red")])
    image.paste((0, 0, 0), (0, 0, 4, 4))
    assert mix.recent[0].image.getpixel((0, 0)) == (9, 9, 9)


@pytest.mark.parametrize("through_a_file", [False, True])
def test_a_mixer_restored_from_its_state_continues_identically(through_a_file):
    first, second = mixer(leave_out=None, store=3), mixer(leave_out=None, store=3)
    for number in range(4):
        first.pair([example(3 * number + k, answer, about=k) for k, answer in enumerate(("red", "yes", "blue"))])
    state = first.state_dict()
    if through_a_file:
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
    second.load_state_dict(state)
    second.generator.set_state(first.generator.get_state())
    assert (second.left_out, second.seen, second.left_out_share) == (first.left_out, 12, 1 / 3)
    for number in range(20, 30):
        pairings = [each.pair([example(number, f"{number}")]) for each in (first, second)]
        assert chosen(pairings[0]) == chosen(pairings[1])
        mixes = [each.mix(pairing) for each, pairing in zip((first, second), pairings, strict=True)]
        assert torch.equal(mixes[0].images, mixes[1].images)
    assert repr(first) == repr(second)


def test_two_mixers_do_not_share_a_loaded_state():
    first, second = mixer(leave_out=None), mixer(leave_out=None)
    first.pair(examples("yes", "red"))
    second.load_state_dict(first.state_dict())
    second.pair(examples("no", "blue"))
    assert first.seen == 2 and first.left_out.total() == 1
    assert len(first.recent) == 2


@pytest.mark.parametrize("lacking", ["recent", "left_out", "seen"])
def test_a_state_that_is_not_a_mixers_is_refused_and_changes_nothing(lacking):
    first = mixer(leave_out=None)
    first.pair(examples("yes", "red"))
    before = first.state_dict()
    state = {"recent": [], "left_out": {}, "seen": 5}
    for broken in ({name: state[name] for name in state if name != lacking}, state | {lacking: 1.5j}, None):
        with pytest.raises(MergeMixError, match=r"^state: got .*, wanted what ImageMixer\.state_dict returned"):
            first.load_state_dict(broken)
    assert first.state_dict() == before


def test_a_smaller_store_keeps_the_latest_pictures_of_a_state():
    first, second = mixer(), mixer(store=2)
    first.pair(examples(*"abcd"))
    second.load_state_dict(first.state_dict())
    assert [each.picture for each in second.recent] == [2, 3]


def test_the_same_seed_gives_the_same_pairs_and_mixes_without_using_the_global_generator():
    before, found = torch.get_rng_state(), []
    for seed in (3, 3, 4):
        mix = mixer(seed=seed)
        pairing = mix.pair(examples(*"abcdefgh"))
        found.append((chosen(pairing), mix.mix(pairing)))
    (first, one), (second, two), (_, three) = found
    assert first == second and torch.equal(one.images, two.images) and torch.equal(one.ratio, two.ratio)
    assert not torch.equal(one.ratio, three.ratio)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_generator_the_global_one_is_used():
    ratios = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        ratios.append(mixer(generator=None).mix(zeros_and_ones(4, 8, 8)).ratio)
    assert torch.equal(ratios[0], ratios[1]) and not torch.equal(ratios[0], ratios[2])


def test_repr_shows_the_settings_and_the_share_left_out():
    mix = mixer(leave_out=None, alpha=0.5, store=4)
    assert repr(mix) == "ImageMixer('cutmix', alpha=0.5, store=4, nothing mixed yet)"
    mix.pair(examples("yes", "red", "blue", "green"))
    assert repr(mix) == "ImageMixer('cutmix', alpha=0.5, store=4, 25.0 % of 4 left out)"


@pytest.mark.parametrize("kind", KINDS)
def test_only_mergemix_reads_attention(kind):
    assert mixer(kind).reads_attention == (kind == "mergemix")


@pytest.mark.parametrize("kind", ["mergemix", "random"])
def test_kinds_with_patches_need_an_encoder(kind):
    wanted = f"a supported encoder, such as the model in training, for '{kind}'"
    with pytest.raises(MergeMixError, match=f"^encoder: got None, wanted {wanted}"):
        ImageMixer(kind=kind)


@pytest.mark.parametrize("kind", ["cutmix", "mixup", "resizemix"])
def test_kinds_without_patches_refuse_an_encoder(kind):
    with pytest.raises(MergeMixError, match=f"^encoder: got a module .*, wanted None, since '{kind}' does not use"):
        ImageMixer(tiny(), kind)


def test_an_unsupported_encoder_is_refused_by_name():
    with pytest.raises(MergeMixError, match=r"^encoder: Sequential is not supported"):
        ImageMixer(nn.Sequential(nn.Conv2d(3, 4, 3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "grid"}, "^kind: got 'grid', wanted one of"),
        ({"alpha": 0}, "^alpha: got 0"),
        ({"store": -1}, "^store: got -1"),
        ({"leave_out": "yes"}, "^leave_out: got 'yes'"),
        ({"generator": 7}, "^generator: got 7, wanted a torch.Generator or None"),
        ({"still_right": "never"}, "^still_right: got 'never', wanted a function that takes two values, or None"),
        ({"kind": "resizemix", "scale": (0.8, 0.1)}, r"^scale\[1\]: got 0.1"),
        ({"kind": "resizemix", "scale": None}, "^scale: got None"),
        ({"saliency_scale": 2}, "^saliency_scale: got 2"),
        ({"layer": "last"}, "^layer: got 'last'"),
    ],
)
def test_bad_arguments_are_refused_by_name(options, message):
    with pytest.raises(MergeMixError, match=message):
        ImageMixer(**({"kind": "cutmix"} | options))


def test_an_empty_pairing_is_refused():
    mix = mixer()
    with pytest.raises(MergeMixError, match=r"^pairing: got no pairs, wanted at least one"):
        mix.mix(mix.pair([]))


def test_a_missing_about_for_still_right_changes_neither_store_nor_counts():
    mix = mixer(still_right=lambda own, other: False)
    with pytest.raises(MergeMixError, match=r"^about: got None, wanted a value for still_right"):
        mix.pair(examples("red", "blue"))
    assert not mix.recent and not mix.left_out and mix.seen == 0


@pytest.mark.parametrize("bad", [torch.full((3, 64, 64), torch.nan), torch.zeros(3, 64, 64, dtype=torch.int64)])
def test_images_with_nan_or_of_an_integer_dtype_are_refused(bad):
    with pytest.raises(MergeMixError, match=r"^images: got"):
        mixer().mix(pairing_of([bad], [bad]))


def test_images_that_do_not_fit_the_encoder_are_refused():
    with pytest.raises(MergeMixError, match=r"^images: got .*, wanted images of shape \(B, 3, H, W\)"):
        mixer("mergemix").mix(pairing_of([torch.zeros(1, 64, 64)], [torch.ones(1, 64, 64)]))


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 4, 4), (2, 4), (2, 5, 0)])
def test_saliency_of_a_wrong_shape_is_refused(shape):
    with pytest.raises(MergeMixError, match=r"^saliency: got"):
        mixer("mergemix").mix(zeros_and_ones(2, 64, 64), torch.ones(shape))

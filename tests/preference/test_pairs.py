"""PreferencePairs returns the mix of its mixer, and PairBatch knows which rows are pairs."""

from __future__ import annotations

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from timm_mergemix import MergeMix, MergeMixError, Mixer, Mixup, create_mixer
from timm_mergemix.preference.pairs import PairBatch, PreferencePairs

from ..mix.batches import distinct, mergemix, noise, quick
from ..models import tiny

NAMES = ["mergemix", "mixup", "cutmix", "resizemix"]
ENCODER = tiny()


def mixer(name: str, **options: object) -> Mixer:
    own = {"encoder": ENCODER, "mergemix_prob": 1.0} if name == "mergemix" else {}
    return create_mixer(name, **{"num_classes": 10} | own | options)


def by_hand(pairs: PairBatch, images: Tensor, labels: Tensor) -> None:
    """Checks what holds for the pairs of a batch, whichever mixer made it."""
    batch = len(images)
    assert torch.equal(pairs.winner, images)
    assert pairs.loser.shape == images.shape and pairs.loser.dtype == images.dtype
    assert pairs.label.tolist() == labels.tolist() and pairs.label.dtype == torch.int64
    assert pairs.partner.tolist() == list(range(batch))[::-1] and pairs.partner.dtype == torch.int64
    assert pairs.partner_label.tolist() == labels.tolist()[::-1] and pairs.partner_label.dtype == torch.int64
    assert pairs.ratio.dtype == pairs.mass.dtype == torch.float32
    for row in range(batch):
        same = labels[row] == labels[batch - 1 - row]
        assert pairs.mass[row] == (1 if same else pairs.ratio[row])
        assert pairs.is_pair[row].item() == (not same and pairs.ratio[row].item() < 1)


@quick
@given(
    st.sampled_from(NAMES),
    st.integers(1, 6),
    st.sampled_from(["batch", "pair", "elem"]),
    st.sampled_from([torch.float32, torch.uint8]),
    st.sampled_from([torch.int64, torch.int32, torch.uint8]),
    st.integers(0, 10**6),
)
def test_pairs_match_the_mix_of_every_mixer(
    name: str, batch: int, mode: str, dtype: torch.dtype, label_dtype: torch.dtype, seed: int
) -> None:
    images = noise(batch, 3, 64, 64, seed=seed, dtype=dtype)
    labels = torch.randint(0, 3, (batch,), generator=torch.Generator().manual_seed(seed)).to(label_dtype)
    torch.manual_seed(seed)
    pairs = PreferencePairs(mixer(name, mode=mode))(images, labels)
    by_hand(pairs, images, labels)
    assert pairs.kind == (name,) * batch
    if name == "mixup":
        ratio, partner = pairs.ratio.view(-1, 1, 1, 1), images.flip(0)
        if dtype == torch.float32:
            torch.testing.assert_close(pairs.loser, ratio * images + (1 - ratio) * partner)
    else:
        mask = pairs.batch.mask
        assert torch.equal(pairs.ratio, mask.flatten(1).double().mean(1).float())
        assert torch.equal(pairs.loser.where(mask, torch.zeros_like(images)), images.where(mask, images * 0))
        if name != "resizemix":
            assert torch.equal(pairs.loser, torch.where(mask, images, images.flip(0)))


def test_the_loser_is_what_the_mixer_returns() -> None:
    images, labels = noise(4, 3, 64, 64), torch.arange(4)
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(mixer("mergemix", mode="elem").mix(images, labels))
    torch.manual_seed(3)
    pairs = PreferencePairs(mixer("mergemix", mode="elem"))(images, labels)
    assert torch.equal(pairs.loser, results[0].images)
    assert torch.equal(pairs.batch.targets, results[1].targets)
    assert len(pairs.ratio.unique()) > 1


@pytest.mark.parametrize("prob", [1.0, 0.5])
def test_the_score_is_the_measured_ratio_not_the_gaussian_one(prob: float) -> None:
    images, labels = noise(12, 3, 64, 64), torch.arange(12) % 10
    pairs = PreferencePairs(
        mixer("mergemix", ratio_mode="gaussian", mode="elem", prob=prob, generator=torch.Generator().manual_seed(0))
    )(images, labels)
    area = pairs.batch.mask.float().mean((1, 2, 3))
    assert (pairs.batch.ratio - area).abs().max() > 0.1
    torch.testing.assert_close(pairs.ratio, area)
    by_hand(pairs, images, labels)
    assert ("none" in pairs.kind) == (prob < 1)


def test_select_drops_rows_that_are_not_pairs() -> None:
    """Rows 0 and 6 have the same class, and row 3 is its own partner; all rows are mixed."""
    images, labels = distinct(7, 1, 8, 8), torch.tensor([5, 0, 1, 2, 3, 4, 5])
    pairs = PreferencePairs(mixer("mixup", mode="elem"))(images, labels)
    by_hand(pairs, images, labels)
    wanted = [1, 2, 4, 5]
    assert pairs.is_pair.nonzero().flatten().tolist() == wanted
    assert not torch.equal(pairs.loser[0], pairs.winner[0])
    chosen = pairs.select()
    assert len(chosen) == 4 and chosen.is_pair.all() and chosen.kind == ("mixup",) * 4
    assert torch.equal(chosen.winner, images[wanted]) and torch.equal(chosen.loser, pairs.loser[wanted])
    assert chosen.label.tolist() == [0, 1, 3, 4] and chosen.partner_label.tolist() == [4, 3, 1, 0]
    assert chosen.partner.tolist() == [5, 4, 2, 1]
    assert torch.equal(chosen.ratio, pairs.ratio[wanted]) and torch.equal(chosen.mass, pairs.mass[wanted])
    assert chosen.batch is pairs.batch and torch.equal(chosen.batch.raw[chosen.partner], images[[5, 4, 2, 1]])


def test_select_drops_rows_that_are_not_mixed() -> None:
    images, labels = distinct(80, 1, 4, 4), torch.arange(80)
    pairs = PreferencePairs(mixer("cutmix", mode="elem", prob=0.5, num_classes=80))(images, labels)
    by_hand(pairs, images, labels)
    chosen = pairs.select()
    mixed = [row for row in range(80) if not torch.equal(pairs.loser[row], images[row])]
    assert 0 < len(mixed) < 80
    assert chosen.label.tolist() == mixed and set(chosen.kind) == {"cutmix"}


def test_selecting_no_rows_gives_an_empty_batch() -> None:
    pairs = PreferencePairs(mixer("cutmix"))(noise(3, 3, 8, 8), torch.zeros(3, dtype=torch.long)).select()
    assert len(pairs) == 0 and pairs.winner.shape == pairs.loser.shape == (0, 3, 8, 8) and pairs.kind == ()


def test_a_mix_that_keeps_every_patch_is_not_a_pair() -> None:
    pairs = PreferencePairs(mergemix(1, 1, mode="elem", num_classes=90))(noise(90, 3, 8, 8), torch.arange(90))
    assert set(pairs.ratio.tolist()) == {0.0, 1.0}  # with a single patch, all or nothing
    assert torch.equal(pairs.is_pair, pairs.ratio == 0)
    assert all(torch.equal(pairs.loser[row], pairs.winner[row]) != pairs.is_pair[row].item() for row in range(90))


def test_collate_makes_the_same_batch_as_a_call() -> None:
    images, labels = noise(5, 3, 16, 16), torch.arange(5)
    pairs = PreferencePairs(mixer("resizemix"))
    torch.manual_seed(0)
    ours = pairs.collate([(image, int(label)) for image, label in zip(images, labels, strict=True)])
    by_hand(ours, images, labels)
    torch.manual_seed(0)
    assert torch.equal(ours.loser, pairs(images, labels).loser)


def test_a_custom_collate_function_is_used() -> None:
    def turned(samples: list[tuple[Tensor, int]]) -> list[Tensor]:
        return [torch.stack([x.flip(-1) for x, _ in samples]), torch.tensor([y for _, y in samples])]

    images, labels = noise(4, 3, 8, 8), torch.arange(4)
    pairs = PreferencePairs(mixer("mixup"), collate=turned).collate(list(zip(images, labels, strict=True)))
    by_hand(pairs, images.flip(-1), labels)


IMAGES, LABELS = noise(24, 3, 8, 8), torch.arange(24) % 10


def load(mixing: Mixer, workers: int, seed: int = 0) -> list[PairBatch]:
    torch.manual_seed(seed)
    collate = PreferencePairs(mixing).collate
    return list(DataLoader(TensorDataset(IMAGES, LABELS), 6, num_workers=workers, collate_fn=collate))


@pytest.mark.parametrize("workers", [0, 2])
def test_every_worker_of_a_loader_draws_its_own_numbers(workers: int) -> None:
    loaded = load(mixer("mixup", mode="elem"), workers)
    assert len(loaded) == 4
    for i, pairs in enumerate(loaded):
        by_hand(pairs, IMAGES[6 * i : 6 * i + 6], LABELS[6 * i : 6 * i + 6])
    ratios = torch.cat([pairs.ratio for pairs in loaded])
    assert len(ratios.unique()) == 24  # no two workers draw the same numbers
    again, other = (torch.cat([p.ratio for p in load(mixer("mixup", mode="elem"), workers, s)]) for s in (0, 1))
    assert torch.equal(ratios, again) and not torch.equal(ratios, other)


def test_an_encoder_is_refused_in_a_worker() -> None:
    with pytest.raises(MergeMixError, match=r"mixer: got MergeMix, wanted .*num_workers=0"):
        load(mixer("mergemix"), 1)
    assert isinstance(load(mixer("mergemix"), 0)[0], PairBatch)


def test_a_generator_is_refused_in_a_worker() -> None:
    own = {"generator": torch.Generator().manual_seed(0)}
    with pytest.raises(MergeMixError, match=r"mixer: got a mixer with its own generator"):
        load(mixer("mixup", **own), 2)
    assert isinstance(load(mixer("mixup", **own), 0)[0], PairBatch)


@pytest.mark.parametrize("given_mixer", [None, "mixup", Mixup])
def test_values_that_are_not_mixers_are_refused(given_mixer: object) -> None:
    with pytest.raises(MergeMixError, match=r"^mixer: got .*, wanted a mixer"):
        PreferencePairs(given_mixer)


def test_labels_that_are_not_class_numbers_are_refused() -> None:
    with pytest.raises(MergeMixError, match=r"^mixer: got .*, wanted a mixer without multi_label"):
        PreferencePairs(mixer("mixup", multi_label=True))
    images = noise(2, 3, 8, 8)
    rows = torch.eye(10)[:2]
    pairs = PreferencePairs(mixer("mixup"))
    before = torch.get_rng_state()
    for labels in (rows, rows.long(), torch.tensor([0.0, 1.0]), torch.tensor([True, False]), [0, 1], None):
        with pytest.raises(MergeMixError, match=r"^labels: got .*, wanted an integer tensor of shape \(B,\)"):
            pairs(images, labels)
    for labels in (torch.arange(3), torch.tensor([0, 10])):
        with pytest.raises(MergeMixError, match=r"^labels: got"):
            pairs(images, labels)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(MergeMixError, match=r"^labels: got"):
        PairBatch.of(mixer("mixup").mix(images, rows))


def test_bad_images_and_samples_are_refused_by_name() -> None:
    pairs = PreferencePairs(mixer("mixup"))
    with pytest.raises(MergeMixError, match=r"^images: got"):
        pairs(torch.zeros(2, 8, 8), torch.arange(2))
    for samples in ([(torch.zeros(1, 2, 2), 1, 2)] * 2, [torch.zeros(1, 2, 2)] * 2, [{"image": 1, "label": 2}] * 2):
        with pytest.raises(
            MergeMixError, match=r"^samples: got samples that collate to a \w+, wanted \(image, label\) tuples"
        ):
            pairs.collate(samples)
    with pytest.raises(MergeMixError, match=r"^collate: got 3"):
        PreferencePairs(mixer("mixup"), collate=3)


def test_repr_shows_the_mixer_or_the_pairs() -> None:
    pairs = PreferencePairs(mixer("cutmix"))
    assert repr(pairs).startswith("PreferencePairs(Mixup(cutmix: 1")
    images, labels = noise(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    made = PreferencePairs(mergemix(2, 2, num_classes=10, generator=torch.Generator().manual_seed(5)))(images, labels)
    count = 2 * int(made.ratio[1] < 1)
    assert repr(made) == f"PairBatch(winner=(4, 3, 8, 8), {count} pairs, 4 mergemix)"


def test_pairs_can_be_pickled_and_leave_the_images_unchanged() -> None:
    images, labels = noise(4, 3, 8, 8), torch.arange(4)
    before = images.clone()
    pairs = pickle.loads(pickle.dumps(PreferencePairs(mixer("mixup"))))(images, labels)
    twin = pickle.loads(pickle.dumps(pairs))
    assert torch.equal(twin.loser, pairs.loser) and torch.equal(twin.batch.targets, pairs.batch.targets)
    assert torch.equal(images, before)


def test_the_encoder_is_left_unchanged() -> None:
    encoder = tiny().train()
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    pairs = PreferencePairs(MergeMix(encoder, 10, mergemix_prob=1.0))(noise(4, 3, 64, 64), torch.arange(4))
    assert not pairs.loser.requires_grad and encoder.training
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())

"""Measures of answers for clean, changed and mixed images, on untrained models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import timm_mergemix as mm
from timm_mergemix.training.vqa import measure
from timm_mergemix.training.vqa.arms import pair_mixer
from timm_mergemix.training.vqa.measure import MixedAnswers, evaluate_answers, evaluate_mixes, predict_answers
from timm_mergemix.training.vqa.model import PATCH, small_llava
from timm_mergemix.training.vqa.questions import is_right

from .made import SIZE, data

pytest.importorskip("transformers", minversion="5.18")

DATA = data(train=4, test=9)
TEST = DATA.test
NUMBERS = [20, 3, 11, 4, 8, 30, 0, 17, 26, 9, 35, 14]


def build(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return small_llava(SIZE, len(DATA.words), width=32, text_width=32)


def cutmix(seed: int = 0) -> Any:
    return pair_mixer("cutmix", None, generator=torch.Generator().manual_seed(seed))


def one_by_one(model: Any, numbers: Sequence[int], images: Tensor | None = None) -> Tensor:
    """The log-probabilities after each question, which runs through the model alone and without its answer."""
    rows = []
    for place, number in enumerate(numbers):
        item = TEST.questions.items[number]
        pixels = TEST.images[[item.image]] if images is None else images[[place]]
        with torch.no_grad():
            logits = model.eval()(input_ids=torch.tensor([TEST.prompts[number][:-1]]), pixel_values=pixels).logits
        rows.append(logits[0, -1].log_softmax(dim=0))
    return torch.stack(rows)


def answers(numbers: Sequence[int]) -> list[int]:
    return [DATA.words.encode(TEST.questions.items[number].answer)[0] for number in numbers]


def watched(model: Any) -> list[Tensor]:
    """Records the images that go through a model from now on."""
    seen: list[Tensor] = []
    model.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True)
    return seen


def patches(images: Tensor) -> Tensor:
    """(n, C, H, W) -> (n, rows, columns, pixels of a patch)."""
    return images.unflatten(3, (-1, PATCH)).unflatten(2, (-1, PATCH)).permute(0, 2, 4, 1, 3, 5).flatten(3)


@pytest.mark.parametrize("merged", [False, True])
def test_predictions_match_those_of_each_question_alone(merged: bool) -> None:
    model = build()
    if merged:
        mm.patch(model, ("total", 8))
    logp, labels = predict_answers(model, TEST, NUMBERS)
    assert labels.tolist() == answers(NUMBERS)
    torch.testing.assert_close(logp, one_by_one(model, NUMBERS), rtol=1e-4, atol=1e-4)


def test_predictions_do_not_depend_on_the_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build()
    whole = predict_answers(model, TEST, NUMBERS)
    seen = watched(model)
    monkeypatch.setattr(measure, "BATCH", 5)
    torch.testing.assert_close(predict_answers(model, TEST, NUMBERS), whole)
    assert [len(images) for images in seen] == [5, 5, 2]


def test_images_can_be_changed_before_prediction() -> None:
    model = build()
    grey = predict_answers(model, TEST, NUMBERS, torch.zeros_like)[0]
    wanted = one_by_one(model, NUMBERS, torch.zeros(len(NUMBERS), 3, SIZE, SIZE))
    torch.testing.assert_close(grey, wanted, rtol=1e-4, atol=1e-4)


def test_training_modes_are_restored() -> None:
    model = build().train()
    model.model.vision_tower.eval()
    before = [module.training for module in model.modules()]
    evaluate_answers(model, TEST, NUMBERS)
    evaluate_mixes(model, TEST, NUMBERS, cutmix())
    assert [module.training for module in model.modules()] == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_evaluation_matches_a_direct_computation() -> None:
    model = build()
    found = evaluate_answers(model, TEST, NUMBERS)
    probabilities, labels = one_by_one(model, NUMBERS).exp(), torch.tensor(answers(NUMBERS))
    right = [int(row.argmax() == label) for row, label in zip(probabilities, labels, strict=True)]
    is_open = [TEST.questions.items[number].is_open for number in NUMBERS]
    assert 0 < sum(is_open) < len(NUMBERS)
    assert found.accuracy == pytest.approx(sum(right) / len(right))
    assert found.open_accuracy == pytest.approx(sum(r for r, o in zip(right, is_open, strict=True) if o) / sum(is_open))
    squares = (probabilities - torch.nn.functional.one_hot(labels, len(DATA.words))).square().sum(dim=1)
    assert found.brier == pytest.approx(squares.mean().item(), rel=1e-4)
    bins: dict[int, list[float]] = {}
    for row, hit in zip(probabilities, right, strict=True):
        bins.setdefault(math.ceil(15 * row.max().item()), []).append(hit - row.max().item())
    error = sum(abs(sum(each)) for each in bins.values()) / len(right)
    assert found.calibration_error == pytest.approx(error, rel=1e-4)


def test_a_model_that_knows_the_answers_is_always_right(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build()
    forward = type(model).forward

    def knowing(self: Any, input_ids: Tensor, **arguments: Any) -> Any:
        out = forward(self, input_ids=input_ids, **arguments)
        out.logits = 20.0 * torch.nn.functional.one_hot(input_ids.roll(-1, dims=1), len(DATA.words))
        return out

    monkeypatch.setattr(type(model), "forward", knowing)
    found = evaluate_answers(model, TEST, NUMBERS)
    assert (found.accuracy, found.open_accuracy, found.noise, found.hidden) == (1, 1, 1, 1)
    assert found.calibration_error < 1e-4 and found.brier < 1e-4


def test_noise_and_hidden_patches_are_the_same_for_all_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "BATCH", 5)
    numbers = range(len(TEST))
    seen = []
    for seed in (0, 1):
        model = build(seed)
        images = watched(model)
        evaluate_answers(model, TEST, numbers)
        seen.append(torch.cat(images).view(3, len(numbers), 3, SIZE, SIZE))
    assert torch.equal(*seen)
    clean, noisy, hidden = seen[0]
    noise = noisy - clean
    assert noise.mean().abs() < 0.02 and noise.std().item() == pytest.approx(measure.NOISE, rel=0.02)
    assert noise[0].ne(noise[1]).all()  # the noise differs between images
    gone, whole = (patches(hidden) == 0).all(dim=3), (patches(hidden) == patches(clean)).all(dim=3)
    assert (gone != whole).all()
    assert gone.float().mean().item() == pytest.approx(measure.HIDDEN, abs=0.05)
    assert len(gone.flatten(1).unique(dim=0)) > 30  # the hidden patches differ between images


@pytest.mark.parametrize("batch", [250, 5])
def test_mixes_are_the_same_for_all_models(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "BATCH", batch)
    first, second = (evaluate_mixes(build(seed), TEST, NUMBERS, cutmix()) for seed in (0, 1))
    assert torch.equal(first.images, second.images) and torch.equal(first.ratio, second.ratio)
    assert torch.equal(first.numbers, second.numbers) and first.partners == second.partners
    assert torch.equal(first.labels, second.labels)
    assert not torch.allclose(first.loser, second.loser)
    other = evaluate_mixes(build(), TEST, NUMBERS, cutmix(1))
    assert not torch.equal(first.ratio[: len(other.ratio)], other.ratio[: len(first.ratio)])


@pytest.mark.parametrize("batch", [250, 5])
def test_winner_and_loser_hold_predictions_for_clean_images_and_their_mixes(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "BATCH", batch)
    model = build()
    found = evaluate_mixes(model, TEST, NUMBERS, cutmix())
    numbers = found.numbers.tolist()
    assert len(numbers) > 6 and set(numbers) <= set(NUMBERS) and len(set(numbers)) == len(numbers)
    torch.testing.assert_close(found.winner, predict_answers(model, TEST, numbers)[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.loser, one_by_one(model, numbers, found.images), rtol=1e-4, atol=1e-4)
    assert found.labels.tolist() == answers(numbers)
    for number, partner, image, ratio in zip(numbers, found.partners, found.images, found.ratio, strict=True):
        item = TEST.questions.items[number]
        assert not is_right((item.text, item.answer), partner)
        own = (image == TEST.images[item.image]).all(dim=0)
        assert own.float().mean().item() == pytest.approx(ratio.item(), abs=1e-6) and 0 <= ratio < 1


def test_questions_without_a_loser_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build()
    same = [0, 1, 2, 3]  # all about one drawing
    found = evaluate_mixes(model, TEST, [*same, 4], cutmix())
    assert 4 in found.numbers.tolist()
    monkeypatch.setattr(measure, "BATCH", 4)
    later = evaluate_mixes(model, TEST, [*same, 4], cutmix())
    assert later.numbers.tolist() == [4]


def made_by_hand() -> MixedAnswers:
    winner = torch.tensor([[0.7, 0.3], [0.4, 0.6], [0.2, 0.8], [0.9, 0.1]]).log()
    loser = torch.tensor([[0.6, 0.4], [0.5, 0.5], [0.7, 0.3], [0.2, 0.8]]).log()
    labels, ratio = torch.tensor([0, 0, 1, 0]), torch.tensor([0.9, 0.3, 0.5, 0.1])
    return MixedAnswers(winner, loser, labels, ratio, torch.arange(4), [None] * 4, torch.zeros(4, 3, 8, 8))


def test_the_summary_of_known_probabilities() -> None:
    found = made_by_hand()
    own, mixed = found.of_answer()
    torch.testing.assert_close(own.exp(), torch.tensor([0.7, 0.4, 0.8, 0.9]))
    torch.testing.assert_close(mixed.exp(), torch.tensor([0.6, 0.5, 0.3, 0.2]))
    summary = found.summary()
    assert summary["preference_accuracy"] == 0.75
    margin = (math.log(0.7 / 0.6) + math.log(0.4 / 0.5) + math.log(0.8 / 0.3) + math.log(0.9 / 0.2)) / 4
    assert summary["reward_margin"] == pytest.approx(margin, rel=1e-5)
    # The ranks of the ratios are 4 2 3 1, those of the probabilities are 4 3 2 1.
    assert summary["correlation"] == pytest.approx(1 - 6 * (0 + 1 + 1 + 0) / (4 * 15))


def test_the_summary_of_a_model_matches_a_direct_computation() -> None:
    found = evaluate_mixes(build(), TEST, NUMBERS, cutmix())
    rows = range(len(found.labels))
    own, mixed = ([part[row, found.labels[row]].item() for row in rows] for part in (found.winner, found.loser))
    summary, won = found.summary(), [a > b for a, b in zip(own, mixed, strict=True)]
    assert summary["preference_accuracy"] == pytest.approx(sum(won) / len(won))
    assert summary["reward_margin"] == pytest.approx(sum(own) / len(own) - sum(mixed) / len(mixed), abs=1e-5)

"""Questions for training and testing share the vocabulary and the statistics of the training questions."""

import torch

from timm_mergemix.training.vqa.data import prepare_data

from .made import PLACES, SIZE, data, questions


def test_training_images_have_mean_0_and_standard_deviation_1() -> None:
    pixels = data().train.images.transpose(0, 1).flatten(1)
    torch.testing.assert_close(pixels.mean(dim=1), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(pixels.std(dim=1), torch.ones(3), rtol=0, atol=1e-4)


def test_test_questions_use_the_vocabulary_and_statistics_of_training() -> None:
    train, test = questions(4), questions(3, seed=1)
    test.images[:] = 255 - test.images  # with their own statistics they would have mean 0 too
    found = prepare_data(train, test, PLACES)
    assert found.words.words == train.vocabulary().words
    assert found.train.words is found.test.words is found.words
    std = torch.tensor(found.statistics.std).view(3, 1, 1)
    mean = torch.tensor(found.statistics.mean).view(3, 1, 1)
    torch.testing.assert_close(found.test.images, (test.images / 255 - mean) / std)
    assert found.test.images.mean() > 1
    assert (len(found.train), len(found.test), found.size) == (16, 12, SIZE)


def test_training_and_test_prompts_have_the_same_number_of_image_tokens() -> None:
    found = prepare_data(questions(2), questions(1), 5)
    for batches in (found.train, found.test):
        assert (batches([0])["input_ids"] == 2).sum() == 5

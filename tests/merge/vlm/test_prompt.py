"""Prompts with fewer places for images, and the way back."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix.merge.vlm.prompt import Places, shorten

IMAGE = 9


def batch_of(rows, each):
    """(B, L) ids: for each row a list of texts' lengths, with an image between two texts."""
    ids = []
    for texts in rows:
        row = []
        for k, length in enumerate(texts):
            row += [IMAGE] * (each if k else 0) + list(range(1, length + 1))
        ids.append(row)
    longest = max(map(len, ids))
    return torch.tensor([[0] * (longest - len(row)) + row for row in ids])


texts = st.lists(st.integers(1, 4), min_size=1, max_size=4)


@given(st.lists(texts, min_size=1, max_size=4), st.integers(1, 5), st.data(), st.booleans())
def test_all_text_stays_in_order_and_each_image_keeps_its_first_places(rows, each, data, left):
    kept = data.draw(st.integers(1, each))
    ids = batch_of(rows, each)
    short = shorten([Places(ids == IMAGE, each, kept)], left)
    taken = short.take(ids)
    assert taken.shape[1] == max(ids.shape[1] - (each - kept) * (len(row) - 1) for row in rows)
    for row, old, new, padding in zip(rows, ids, taken, short.padding, strict=True):
        assert torch.equal(old[old != IMAGE], new[~padding & (new != IMAGE)])
        assert int((new == IMAGE).sum()) == kept * (len(row) - 1)
        sides = padding if left else padding.flip(0)
        assert torch.equal(sides, sides.sort(descending=True).values)  # padding is on one side


@given(st.lists(texts, min_size=1, max_size=4), st.integers(1, 5), st.data(), st.booleans())
def test_the_way_back_gives_each_position_the_last_token_that_stays(rows, each, data, left):
    kept = data.draw(st.integers(1, each))
    ids = batch_of(rows, each)
    short = shorten([Places(ids == IMAGE, each, kept)], left)
    positions = torch.arange(ids.shape[1]).expand_as(ids)
    at = short.take(positions).gather(1, short.back)  # the caller's position whose output each position gets
    stays = Places(ids == IMAGE, each, kept).stays
    for i in range(len(ids)):
        last = -1
        for j in range(ids.shape[1]):
            last = j if stays[i, j] else last
            assert last in (-1, int(at[i, j]))


def test_positions_have_no_gaps():
    ids = torch.tensor([[5, IMAGE, IMAGE, IMAGE, 6, IMAGE, IMAGE, IMAGE, 7], [0, 0, 0, 5, IMAGE, IMAGE, IMAGE, 6, 7]])
    short = shorten([Places(ids == IMAGE, 3, 1)], left=True)
    assert short.positions(torch.arange(9)[None]).tolist() == [[0, 0, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 6]]


def test_two_kinds_of_images_lose_places_each_by_itself():
    ids = torch.tensor([[1, 9, 9, 2, 8, 8, 8, 3]])
    short = shorten([Places(ids == 9, 2, 1), Places(ids == 8, 3, 2)], left=False)
    assert short.take(ids).tolist() == [[1, 9, 2, 8, 8, 3]]
    assert short.back.tolist() == [[0, 1, 1, 2, 3, 4, 4, 5]]


def test_padding_gets_what_it_is_filled_with_and_is_hidden():
    ids = torch.tensor([[1, 9, 9, 2], [3, 4, 5, 6]])
    short = shorten([Places(ids == 9, 2, 1)], left=False)
    assert short.take(ids, fill=7).tolist() == [[1, 9, 2, 7], [3, 4, 5, 6]]
    assert short.attention_mask(None).tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert short.attention_mask(torch.ones(2, 4)).tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert short.take(torch.ones(2, 4, 3)).shape == (2, 4, 3)


def test_without_padding_no_mask_is_made():
    ids = torch.tensor([[1, 9, 9, 2]])
    assert shorten([Places(ids == 9, 2, 1)], left=False).attention_mask(None) is None

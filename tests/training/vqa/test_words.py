"""Words as tokens: texts round-trip, and special tokens are not words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.training.vqa.words import BEGIN, IMAGE, PAD, Words

TEXTS = ["What color is the circle?", "is there a red shape?", "yes no"]
WORDS = Words(TEXTS)
KNOWN = ["what", "color", "is", "the", "circle", "there", "a", "red", "shape", "yes", "no", "?"]


def test_special_tokens_come_first_and_then_the_words_in_order() -> None:
    assert (PAD, BEGIN, IMAGE) == (0, 1, 2)
    assert WORDS.words == ["<pad>", "<begin>", "<image>", *sorted(KNOWN)]
    assert len(WORDS) == 3 + len(KNOWN)


def test_the_vocabulary_does_not_depend_on_the_order_or_repetition_of_texts() -> None:
    assert Words([*reversed(TEXTS), *TEXTS]).words == WORDS.words


@given(st.lists(st.sampled_from(KNOWN)))
def test_decoding_inverts_encoding(words: list[str]) -> None:
    tokens = WORDS.encode(" ".join(words))
    assert len(tokens) == len(words) and all(token > IMAGE for token in tokens)
    assert WORDS.decode(tokens).split() == words


@given(st.lists(st.integers(IMAGE + 1, len(WORDS) - 1)))
def test_encoding_inverts_decoding(tokens: list[int]) -> None:
    assert WORDS.encode(WORDS.decode(tokens)) == tokens


@given(st.lists(st.integers(0, len(WORDS) - 1)))
def test_special_tokens_are_decoded_only_on_request(tokens: list[int]) -> None:
    plain = [token for token in tokens if token > IMAGE]
    assert WORDS.decode(tokens) == WORDS.decode(plain) == WORDS.decode(plain, skip_special_tokens=False)
    assert WORDS.decode(tokens, skip_special_tokens=False).split() == [WORDS.words[token] for token in tokens]


def test_capitals_and_the_space_before_a_question_mark_do_not_matter() -> None:
    assert WORDS.encode("IS the Circle red?") == WORDS.encode("is the circle red ?")
    assert WORDS.decode(WORDS.encode("Is the circle red?")) == "is the circle red ?"


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(MergeMixError, match=r"^text: got 'purple'"):
        WORDS.encode("a purple circle")

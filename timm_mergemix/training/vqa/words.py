"""A tokenizer whose tokens are words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...errors import wrong

__all__ = ["BEGIN", "IMAGE", "PAD", "Words"]

PAD, BEGIN, IMAGE = 0, 1, 2
SPECIAL = ("<pad>", "<begin>", "<image>")


class Words:
    """A tokenizer with one token per word, after special tokens for padding, begin of text and images.

    Args:
        texts: Texts whose words make up the vocabulary; a question mark is a word.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.words = [*SPECIAL, *sorted({word for text in set(texts) for word in split(text)})]
        self._ids = {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text.

        Raises:
            MergeMixError: If it has a word that is not in the vocabulary.
        """
        unknown = [word for word in split(text) if word not in self._ids]
        if unknown:
            raise wrong("text", unknown[0], "a word from the texts of which the vocabulary was made")
        return [self._ids[word] for word in split(text)]

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of tokens, by default without special tokens."""
        kept = [token for token in tokens if token >= len(SPECIAL) or not skip_special_tokens]
        return " ".join(self.words[token] for token in kept)


def split(text: str) -> list[str]:
    """The words of a text in lower case."""
    return text.lower().replace("?", " ?").split()

"""Options that commands share."""

import argparse
from pathlib import Path

import pytest

from timm_mergemix import MergeMixError
from timm_mergemix.cli.options import KeyValues, add_common, again_with, make_directory, read_budget


def test_common_options() -> None:
    parser = argparse.ArgumentParser()
    add_common(parser)
    args = parser.parse_args([])
    assert (args.seed, args.fresh, args.quiet, args.progress) == (0, False, False, None)
    assert parser.parse_args(["--no-progress"]).progress is False


def test_make_directory(tmp_path: Path) -> None:
    assert make_directory(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(MergeMixError, match=r"out: .*file cannot be used"):
        make_directory(tmp_path / "file")


def test_again_with() -> None:
    argv = ["train", "--data", "my pictures", "--fresh"]
    assert again_with(argv, without=["--fresh"], plus=["--resume"]) == "train --data 'my pictures' --resume"
    assert again_with(["train", "--resume"], plus=["--resume"]) == "train --resume"


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["depth=3", "global_pool=avg"], {"depth": 3, "global_pool": "avg"}),
        (["shape=(1, 2)", "url=http://a?b=c", "name=a b"], {"shape": (1, 2), "url": "http://a?b=c", "name": "a b"}),
        (["empty="], {"empty": ""}),
        ([], {}),
    ],
)
def test_keys_and_values(words: list[str], values: dict[str, object]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kwargs", nargs="*", action=KeyValues)
    assert parser.parse_args(["--kwargs", *words]).kwargs == values


@pytest.mark.parametrize("word", ["depth", "=3"])
def test_words_without_key_and_value_are_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kwargs", nargs="*", action=KeyValues)
    with pytest.raises(SystemExit):
        parser.parse_args(["--kwargs", word])
    assert "argument --kwargs: wanted KEY=VALUE each" in capsys.readouterr().err


def test_budgets() -> None:
    assert read_budget("2.0x") == {"speedup": 2.0} and read_budget("99") == {"tokens": 99}
    for text in ("fast", "x", "1.5"):
        with pytest.raises(MergeMixError, match=f"^budget: got '{text}', wanted a throughput such as 2.0x"):
            read_budget(text)

"""Options that commands share."""

import argparse
from pathlib import Path

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.cli.options import add_common, again_with, choose_device, cpu_threads, make_directory


def test_common_options() -> None:
    parser = argparse.ArgumentParser()
    add_common(parser)
    args = parser.parse_args([])
    assert (args.seed, args.fresh, args.quiet, args.progress) == (0, False, False, None)
    assert parser.parse_args(["--no-progress"]).progress is False


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")
    for name in ("abacus", "cuda:99", "meta"):
        with pytest.raises(MergeMixError, match="device: '"):
            choose_device(name)
    for seed in (-1, 99999999999999999999):
        with pytest.raises(MergeMixError, match=f"seed: got {seed}, wanted an integer >= 0"):
            choose_device("cpu", seed=seed)


def test_threads() -> None:
    before = torch.get_num_threads()
    with cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(MergeMixError, match="threads: got 0"), cpu_threads(0):
        pass


def test_make_directory(tmp_path: Path) -> None:
    assert make_directory(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(MergeMixError, match=r"out: .*file cannot be used"):
        make_directory(tmp_path / "file")


def test_again() -> None:
    argv = ["train", "--data", "my pictures", "--fresh"]
    assert again_with(argv, without=["--fresh"], plus=["--resume"]) == "train --data 'my pictures' --resume"
    assert again_with(["train", "--resume"], plus=["--resume"]) == "train --resume"

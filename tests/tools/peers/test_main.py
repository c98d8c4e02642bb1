"""Both sides run, a difference is named with exit code 1, and a later run resumes where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.peers import __main__ as peers

TESTS = """
import unittest
import pytest, torch
from timm import create_model

@pytest.mark.parametrize("model_name", ["test_vit", "test_resnet"])
def test_forward(model_name):
    assert create_model(model_name)(torch.zeros(1, 3, 160, 160)).shape == (1, 1000)

@pytest.mark.parametrize("model_name", ["test_vit"])
def test_class(model_name):
    assert not hasattr(create_model(model_name), "merging")

class Parts(unittest.TestCase):
    def test_parts(self):
        with self.subTest("class"):
            self.assertFalse(hasattr(create_model("test_vit"), "merging"))
"""


def test_both_sides_run_and_a_difference_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_models.py").write_text(TESTS)
    monkeypatch.setenv("TIMM_TESTS", str(tmp_path))
    out = tmp_path / "peers.jsonl"
    pytest.importorskip("xdist")  # the oldest environment does not have it
    arguments = ["--models", "test_vit", "--jobs", "0", "--out", str(out), "--work", str(tmp_path / "work")]
    assert peers.main([*arguments, "--filter", "test_models.py::test_f*"]) == 0
    assert "| timm | all | 1 / 0 / 0 | 1 / 0 / 0 | 0 |" in capsys.readouterr().out
    first = out.read_text()
    assert peers.main([*arguments, "--resume"]) == 1
    assert out.read_text().startswith(first)
    assert len(out.read_text().splitlines()) == 6
    printed = capsys.readouterr().out
    assert "| timm | all | 3 / 0 / 0 | 1 / 2 / 0 | 2 |" in printed
    assert "1: test_models.py::test_class[test_vit]" in printed


def test_without_a_folder_the_error_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for peer in peers.PEERS:
        monkeypatch.delenv(f"{peer.upper()}_TESTS", raising=False)
    with pytest.raises(SystemExit, match="none of TIMM_TESTS, PEFT_TESTS, ACCELERATE_TESTS, TRANSFORMERS_TESTS is set"):
        peers.main([])
    monkeypatch.setenv("TIMM_TESTS", str(tmp_path / "no"))
    with pytest.raises(SystemExit, match="is not a folder"):
        peers.main([])

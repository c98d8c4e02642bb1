"""Mixers of other packages are checked like ours, and a note says which packages are not installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from benchmarks import peers_invariants
from benchmarks.command import main
from benchmarks.peers_invariants import PEERS, Kornia
from timm_mergemix.testing import MIXING_INVARIANTS

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "testing.md").read_text()


def test_the_table_has_every_installed_mixer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = {name: PEERS[name] for name in ("Mixup", "timm CutMix", "kornia RandomMixUpV2")}
    monkeypatch.setattr(peers_invariants, "PEERS", chosen)
    monkeypatch.setattr(peers_invariants, "installed", lambda package: False)
    assert main(peers_invariants, ["--examples", "4"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "kornia RandomMixUpV2 is left out: kornia is not installed.\n"
    assert "| invariant | Mixup | timm CutMix |" in printed.out
    assert "| inputs stay | yes | no |" in printed.out and "| the seeds decide | yes | yes |" in printed.out
    failure = "| timm CutMix | inputs stay | the caller's images are changed in place | images (2, 3, 8, 8) float32, "
    assert failure in printed.out and "| Mixup | inputs" not in printed.out


def test_bad_numbers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(peers_invariants, ["--examples", "0"]) == 2
    assert "examples: got 0, wanted an integer >= 1" in capsys.readouterr().err


@pytest.mark.parametrize("own", [True, False])
def test_kornias_pairs_of_classes_become_targets(own: bool) -> None:
    labels = torch.tensor([3, 1])
    triples = torch.stack([labels.float(), labels.flip(0).float(), torch.tensor([0.25, 0.25])], dim=1)
    for given in (triples, triples[None]):
        _, targets = Kornia(lambda images, _, given=given: [images, given], own)(torch.rand(2, 3, 4, 4), labels)
        share = 0.25 if own else 0.75
        assert targets[0].tolist() == [0, 1 - share, 0, share, 0] and targets[1].tolist() == [0, share, 0, 1 - share, 0]


def test_the_table_of_the_guide_has_the_current_mixers_and_invariants() -> None:
    (header,) = re.findall(r"^\| invariant \| (MergeMix .*) \|$", PAGE, flags=re.MULTILINE)
    assert header.split(" | ") == list(PEERS)
    rows = re.findall(r"^\| ([\w ]+) \|(?: (?:yes|no) \|)+$", PAGE, flags=re.MULTILINE)
    assert rows == list(MIXING_INVARIANTS)

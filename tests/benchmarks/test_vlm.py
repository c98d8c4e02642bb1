"""The benchmark of vision-language models runs, keeps its results, and shares weights."""

from __future__ import annotations

from pathlib import Path

import pytest

import timm_mergemix as mm
from benchmarks import vlm
from benchmarks.command import main
from benchmarks.records import Records

pytest.importorskip("transformers", minversion="5.18")

SMALL = vlm.Size((16, 3, 2), (32, 1, 2), 32, 8, 50)


def test_each_step_is_timed_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(vlm.SIZES, "tiny", SMALL)
    argv = ["--out", str(tmp_path), "--sizes", "tiny", "--rounds", "1", "--seconds", "0"]
    assert main(vlm, argv) == 0
    first = capsys.readouterr().out
    assert all(f"| tiny | {step} |" in first for step in vlm.STEPS)
    monkeypatch.setattr(vlm, "build", lambda size: pytest.fail("a finished step was measured again"))
    assert main(vlm, argv) == 0
    assert capsys.readouterr().out == first


def test_the_language_model_gets_half_of_the_image_tokens() -> None:
    model = mm.patch(vlm.build(SMALL), ("total", SMALL.places // 2))
    lengths: list[int] = []
    model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    for step in ("prefill", "training step"):
        vlm.make_step(model, step, SMALL)()
    assert lengths == [SMALL.places // 2 + vlm.TEXT_TOKENS] * 2
    frozen = {p.requires_grad for p in model.model.vision_tower.parameters()}
    assert frozen == {False}


def test_the_guide_has_the_table_of_the_committed_record() -> None:
    root = Path(__file__).parents[2]
    records = Records(root / "benchmarks" / "results" / "vlm.jsonl", ("size", "step", "machine")).read()
    assert vlm.table(records) in (root / "docs" / "guide" / "vision-language.md").read_text()

"""Which process logs, and how errors of what a flag set get the flag's name."""

from __future__ import annotations

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.errors import wrong
from timm_mergemix.launch.run import naming, rank


def test_the_first_process_is_0_also_before_the_script_has_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert rank() == 0
    monkeypatch.setenv("RANK", "3")
    assert rank() == 3


def test_a_process_group_knows_better_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    assert rank() == 1


def test_an_error_names_the_flag_of_its_argument() -> None:
    with (
        pytest.raises(MergeMixError, match=r"^--merge-r\[3\]: got 5, wanted less$"),
        naming("--merge-r", r="--merge-r"),
    ):
        raise wrong("r", 5, "less", part="[3]")


def test_an_error_of_another_argument_is_the_reason_of_the_flags() -> None:
    with pytest.raises(MergeMixError, match=r"^--mergemix: model: got 5, wanted less$"), naming("--mergemix", r="-r"):
        raise wrong("model", 5, "less")

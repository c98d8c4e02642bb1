"""The public names of timm_mergemix.vlm, of which one needs transformers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from timm_mergemix import MergeMixError, vlm


@pytest.mark.parametrize("name", vlm.__all__)
def test_each_public_name_exists_and_has_a_docstring(name):
    pytest.importorskip("transformers")
    assert getattr(vlm, name).__doc__
    assert name in dir(vlm)


def test_unknown_names_raise_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'timm_mergemix.vlm' has no attribute 'MergeMixtrainer'"):
        _ = vlm.MergeMixtrainer


def test_only_the_trainer_imports_transformers():
    code = "import sys; from timm_mergemix.vlm import ImageMixer, MergeMixMixin; print('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_without_transformers_the_trainer_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MergeMixError, match="MergeMixTrainer"):
        _ = vlm.MergeMixTrainer

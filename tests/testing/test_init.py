"""Names are imported on first use; without hypothesis, the error says how to install it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import timm_mergemix as mm
from timm_mergemix.testing.properties import InvariantError


def test_each_name_can_be_imported() -> None:
    for name in mm.testing.__all__:
        assert getattr(mm.testing, name) is getattr(mm.testing, name)
    assert dir(mm.testing) == sorted(mm.testing.__all__)
    assert mm.testing.InvariantError is InvariantError
    assert callable(mm.testing.check_mixer) and callable(mm.testing.batches)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'timm_mergemix.testing' has no attribute 'check_everything'"):
        _ = mm.testing.check_everything


def test_without_hypothesis_the_error_says_how_to_install_it() -> None:
    code = (
        "import json, sys\n"
        "sys.modules['hypothesis'] = None\n"
        "import timm_mergemix as mm\n"
        "from timm_mergemix import *\n"
        "try:\n"
        "    from timm_mergemix.testing import check_mixer\n"
        "except mm.MergeMixError as error:\n"
        "    print(json.dumps([type(error).__name__, str(error)]))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    name, message = json.loads(ran.stdout)
    assert name == "MissingPackageError"
    assert message.startswith("timm_mergemix.testing needs hypothesis")
    assert message.endswith('pip install "timm-mergemix[testing]"')

"""Importing the package is fast, changes nothing outside it, and provides each public name."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import timm_mergemix as mm


def fresh(code: str) -> object:
    """Runs ``code`` in a new interpreter and returns the JSON that it prints."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def test_the_import_loads_no_torch_timm_or_numpy() -> None:
    code = "import timm_mergemix, sys, json; print(json.dumps(sorted(m.split('.')[0] for m in sys.modules)))"
    assert not {"torch", "timm", "torchvision", "numpy"} & set(fresh(code))


def test_use_loads_no_transformers() -> None:
    code = (
        "import json, sys, timm, timm_mergemix as mm\n"
        "for name in mm.__all__: getattr(mm, name)\n"
        "model = timm.create_model('test_vit')\n"
        "mm.unpatch(mm.patch(model, 1))\n"
        "assert mm.supported(model)\n"
        "print(json.dumps(sorted(m.split('.')[0] for m in sys.modules)))\n"
    )
    assert "transformers" not in set(fresh(code))


def test_use_changes_nothing_in_timm_and_torchvision() -> None:
    code = (
        "import json, sys, timm, timm.data, timm.models, torchvision, torchvision.transforms.v2 as v2\n"
        "modules = [m for n, m in list(sys.modules.items()) if n.split('.')[0] in ('timm', 'torchvision')]\n"
        "before = [dict(vars(m)) for m in modules]\n"
        "classes = {v for names in before for v in names.values() if isinstance(v, type)}\n"
        "inside = {c: dict(vars(c)) for c in classes}\n"
        "import timm_mergemix as mm\n"
        "for name in mm.__all__: getattr(mm, name)\n"
        # Python itself makes a submodule an attribute of its package on first import; that does not count as a change.
        "now = [{k: v for k, v in vars(m).items() if k in b or not hasattr(v, '__spec__')}\n"
        "       for m, b in zip(modules, before)]\n"
        "changed = [m.__name__ for m, b, n in zip(modules, before, now) if n.keys() != b.keys()\n"
        "           or any(n[k] is not b[k] for k in b)]\n"
        "changed += [c.__name__ for c in classes if inside[c].keys() != vars(c).keys()\n"
        "            or any(vars(c)[k] is not v for k, v in inside[c].items())]\n"
        "print(json.dumps(changed))\n"
    )
    assert fresh(code) == []


@pytest.mark.parametrize("name", mm.__all__)
def test_each_public_name_can_be_imported(name: str) -> None:
    assert getattr(mm, name) is getattr(mm, name)
    assert name in dir(mm)


def test_all_is_sorted_and_complete() -> None:
    assert mm.__all__ == sorted(mm.__all__)
    assert set(mm.__all__) == {*mm._HOME_OF, *mm._MODULES, "__version__"}


def test_a_star_import_gives_every_name() -> None:
    names: dict[str, object] = {}
    exec("from timm_mergemix import *", names)
    assert set(mm.__all__) <= set(names)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'timm_mergemix' has no attribute 'megamix'"):
        _ = mm.megamix

"""An optional package is imported when it is needed; if it is missing, the error says how to install it."""

import pytest

from timm_mergemix import MergeMixError
from timm_mergemix.errors import installed, need


def test_need_imports_the_package() -> None:
    assert need("json", "a test").dumps([1]) == "[1]"
    assert installed("json")


@pytest.mark.parametrize(
    ("module", "package"), [("absent_package.part", "absent_package"), ("sklearn.nope", "scikit-learn")]
)
def test_the_error_of_a_missing_package_says_how_to_install_it(module: str, package: str) -> None:
    with pytest.raises(MergeMixError, match=rf'drawing needs {package}.*pip install "timm-mergemix\[demo\]"'):
        need(module, "drawing")
    assert not installed("absent_package")


def test_the_error_of_a_missing_package_names_its_extra() -> None:
    with pytest.raises(MergeMixError, match=r'absent_package.*pip install "timm-mergemix\[metrics\]"'):
        need("absent_package", "a test", extra="metrics")

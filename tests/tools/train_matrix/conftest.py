"""Skips the tests if timm does not support the installed huggingface_hub, which loads the teacher."""

import pytest
from timm.models._hub import has_hf_hub


@pytest.fixture(autouse=True, scope="module")
def hub_is_known() -> None:
    if not has_hf_hub():
        pytest.skip("this release of timm does not support this release of huggingface_hub")

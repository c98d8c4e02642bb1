"""The matrix writes a teacher that it loads as from a hub, for which timm must know the installed huggingface_hub."""

import pytest
from timm.models._hub import has_hf_hub


@pytest.fixture(autouse=True, scope="module")
def hub_is_known() -> None:
    if not has_hf_hub():
        pytest.skip("this release of timm does not know this release of huggingface_hub")

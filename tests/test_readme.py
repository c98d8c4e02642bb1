"""The Python blocks of the README run in order, exactly as they are written."""

import re
from pathlib import Path

import pytest
import torch

README = Path(__file__).parent.parent / "README.md"


def test_the_python_blocks_of_the_readme_run(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert printed.startswith("(197, 184, 171,")
    assert "MixedBatch(images=(8, 3, 224, 224)" in printed
    assert names["targets"].shape == (8, 100)

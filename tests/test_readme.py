"""The README's Python runs as it stands, from top to bottom, without downloads."""

import re
from pathlib import Path

import pytest
import torch

from .docs.offline import without_downloads, write_images

README = Path(__file__).parent.parent / "README.md"


def test_the_python_blocks_of_the_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    without_downloads(monkeypatch)
    write_images(tmp_path / "val")
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    tokens, *rows = capsys.readouterr().out.splitlines()
    assert tokens.startswith("(197, 184, 171,")
    assert [row.split(":")[0] for row in rows] == ["r=0", "r=4", "r=8", "r=13", "r=16"]
    assert rows[3].startswith("r=13: 41 tokens left, top-1 ")
    assert names["targets"].shape == (8, 100)

"""A missing task, file or directory is refused by name."""

from pathlib import Path

import pytest
import torch

from benchmarks.study import tasks
from benchmarks.study.large import FromTimm
from benchmarks.study.places import HERE, Places
from timm_mergemix import MergeMixError

CPU = torch.device("cpu")


def test_missing_tasks_files_and_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match="task: got 'mnist6k'"):
        tasks.find_task("mnist6k")
    with pytest.raises(MergeMixError, match=r"weights: got .*, wanted the path of a file"):
        Places(weights=tmp_path / "none.pth")
    with pytest.raises(MergeMixError, match="data-dir: got None"):
        FromTimm("", "test_vit", 2, 4)(0, CPU, HERE)
    with pytest.raises(MergeMixError, match=r"data: got .*, wanted an existing directory"):
        FromTimm("", "test_vit", 2, 4)(0, CPU, Places(data=tmp_path / "none"))

"""A plan is read back exactly as it was written."""

from pathlib import Path

from tools.peers.plan import Plan


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = Plan("timm", "patched", ["test_vit"], ["*"], ["test_models.py::test_a"], "out.jsonl")
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan

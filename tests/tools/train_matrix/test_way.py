"""Options of special runs reach the script as environment variables."""

from tools.train_matrix.cpu_ddp import KILL_AT
from tools.train_matrix.way import MODEL, TRAIN, Way


def test_a_plain_run_needs_no_variables() -> None:
    assert Way().is_plain and Way().env() == {}


def test_special_runs_are_not_plain_and_set_variables() -> None:
    assert Way(processes=2, kill_at=6).env() == {KILL_AT: "6"}
    assert Way(recompiles=True).env() == {"TORCH_LOGS": "recompiles"}
    assert not any(way.is_plain for way in (Way(processes=2), Way(recompiles=True), Way(interrupt="x")))


def test_training_uses_the_small_model() -> None:
    assert TRAIN.startswith(MODEL) and "depth=3" in MODEL and "--device cpu" in MODEL

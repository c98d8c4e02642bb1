"""Learning curves are read from the files of timm and of this library."""

import json
from pathlib import Path

import pytest

from timm_mergemix.cli.histories import is_history, read_all, read_histories
from timm_mergemix.errors import MergeMixError

LINES = [{"epoch": 1, "train_loss": 2.0, "val_loss": 1.8, "val_top1": 0.4}]


def test_summary_of_timm(tmp_path: Path) -> None:
    path = tmp_path / "run" / "summary.csv"
    path.parent.mkdir()
    path.write_text("epoch,train_loss,eval_loss,eval_top1,lr\n0,2.0,1.9,30.0,0.1\n1,1.5,1.4,50.0,0.1\n")
    assert is_history(path) and not is_history(tmp_path / "a.png")
    assert read_histories(path) == {
        "run": [
            {"epoch": 1, "train_loss": 2.0, "val_top1": 0.3},
            {"epoch": 2, "train_loss": 1.5, "val_top1": 0.5},
        ]
    }


def test_a_summary_with_a_preference_says_so(tmp_path: Path) -> None:
    path = tmp_path / "summary.csv"
    columns = "epoch,train_loss,train_preference_loss,train_reward_margin,eval_top1"
    path.write_text(f"{columns}\n0,2.0,0.6,nan,30.0\n")
    ((record,),) = read_histories(path).values()
    assert record == {"epoch": 1, "train_loss": 2.0, "val_top1": 0.3, "preference": 0.6}


def test_results_of_this_library(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"history": LINES}))
    assert read_histories(path) == {tmp_path.name: LINES}
    path.write_text(
        json.dumps({"methods": {"a": {"title": "A", "history": LINES}, "b": {"title": "B", "history": []}}})
    )
    assert read_histories(path) == {"A": LINES, "B": []}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "epoch,loss\n1,2\n"),
        ("a.csv", f"epoch\n{'x' * 200_000}\n"),
        ("a.json", "{}"),
        ("a.json", "[1]"),
        ("a.json", "no json"),
        ("a.json", '{"history": [{"epoch": 1}]}'),
        ("a.json", '{"history": [{"epoch": 1, "train_loss": "high", "val_top1": 0.5}]}'),
        ("a.json", '{"history": [3]}'),
        ("a.json", "[" * 200_000),
        ("a.csv", None),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, text: str | None) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(MergeMixError, match="is not a training history"):
        read_histories(tmp_path / name)


def test_a_loss_that_is_not_finite_is_part_of_a_history(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"history": [{"epoch": 1, "train_loss": null, "val_top1": 0.1}]}')
    assert read_histories(path) == {tmp_path.name: [{"epoch": 1, "train_loss": None, "val_top1": 0.1}]}


def test_a_resumed_run_has_a_second_header_and_may_repeat_an_epoch(tmp_path: Path) -> None:
    path = tmp_path / "summary.csv"
    header = "epoch,train_loss,eval_loss,eval_top1,lr\n"
    path.write_text(f"{header}0,2.0,1.9,30.0,0.1\n{header}0,1.8,1.9,40.0,0.1\n1,1.5,1.4,50.0,0.1\n")
    (lines,) = read_histories(path).values()
    assert [(line["epoch"], line["val_top1"]) for line in lines] == [(1, 0.4), (2, 0.5)]


def test_runs_with_the_same_name_are_distinguished_by_their_paths(tmp_path: Path) -> None:
    paths = [tmp_path / run / "seed0" / "results.json" for run in ("a", "b")] + [tmp_path / "c" / "results.json"]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"history": LINES}))
    assert list(read_all(paths)) == [f"{paths[0]}: seed0", f"{paths[1]}: seed0", "c"]

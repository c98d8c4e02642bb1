"""Records are grouped by everything but their seed, in an order that does not depend on the runs."""

from benchmarks.study.groups import group_records, shared_options

from .test_results import RECORDS, record


def test_groups_differ_in_more_than_the_seed() -> None:
    groups = group_records(RECORDS, "val")
    assert [len(lines) for lines in groups.values()] == [2, 1]
    assert list(group_records(RECORDS, "test")) == [("fashion", "mergemix", (), "c")]


def test_the_order_of_methods_does_not_depend_on_the_runs() -> None:
    groups = group_records([record(name, 0, 0.5) for name in ("random-mixup", "mergemix", "none", "timm")], "val")
    assert [method for _, method, *_ in groups] == ["none", "timm", "mergemix", "random-mixup"]


def test_trials_of_equal_time_come_last() -> None:
    lines = [record("mixup", 0, 0.5, options=[("epochs", 7)]), record("mergemix", 0, 0.5), record("timm", 0, 0.5)]
    assert [group[1] for group in group_records(lines, "val")] == ["timm", "mergemix", "mixup"]


def test_options_that_all_mixing_methods_share_are_found() -> None:
    lines = [record("none", 0, 0.5), record("mixup", 0, 0.5, options=[("prob", 1)])]
    assert shared_options(group_records(lines, "val")) == (("prob", 1),)
    assert shared_options(group_records([*lines, record("timm", 0, 0.5)], "val")) == ()
    assert shared_options(group_records(lines[:1], "val")) == ()


def test_records_of_other_circumstances_are_separate_rows() -> None:
    other = {**record("none", 2, 0.1), "circumstances": "d"}
    assert [len(lines) for lines in group_records([*RECORDS[:2], other], "val").values()] == [2, 1]

"""A file of records keeps complete lines, ignores an incomplete one, and its records are not run again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.records import Record, Records
from timm_mergemix import MergeMixError

from ..files.faults import failing


def records(folder: Path) -> Records:
    return Records(folder / "a" / "records.jsonl", ("name", "size"), ("value",))


def made(name: str, size: object = 1, value: float = 0.5) -> Record:
    return {"name": name, "size": size, "value": value}


def test_added_records_are_read_in_order(tmp_path: Path) -> None:
    own = records(tmp_path)
    assert own.read() == []
    for name in ("b", "a", "ä"):
        own.add(made(name))
    assert own.read() == [made("b"), made("a"), made("ä")]
    assert own.path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_an_incomplete_last_line_is_ignored_and_overwritten(tmp_path: Path, cut: int) -> None:
    own = records(tmp_path)
    own.add(made("a"))
    own.add(made("b"))
    own.path.write_bytes(own.path.read_bytes()[:-cut])
    before = own.path.read_bytes()
    assert own.read() == [made("a")]
    assert own.path.read_bytes() == before  # reading does not change the file
    own.add(made("c"))
    assert own.read() == [made("a"), made("c")]


@pytest.mark.parametrize(
    "line", [b"no json", b"", b"[1]", b'{"name": "a", "size": 1}', b"\xff\xfe", b'{"name": "a', b"[" * 200_000]
)
def test_the_error_names_a_broken_line_in_the_middle(tmp_path: Path, line: bytes) -> None:
    own = records(tmp_path)
    own.add(made("a"))
    own.path.write_bytes(own.path.read_bytes() + line + b"\n" + json.dumps(made("b")).encode() + b"\n")
    with pytest.raises(MergeMixError) as raised:
        own.read()
    assert (raised.value.argument, raised.value.part) == (str(own.path), ", line 2")
    assert raised.value.wanted == "a JSON object with name, size, value"


def test_only_what_is_missing_is_run(tmp_path: Path) -> None:
    own, ran = records(tmp_path), []

    def run(left: list[str]) -> Iterator[Record]:
        for name in left:
            ran.append(name)
            yield made(name, [1, {"x": 2}])

    def wanted(*names: str) -> list[tuple[tuple[object, ...], str]]:
        return [((name, (1, {"x": 2})), name) for name in names]

    assert own.run_missing(wanted("a", "b"), run) == [made("a", [1, {"x": 2}]), made("b", [1, {"x": 2}])]
    assert [each["name"] for each in own.run_missing(wanted("c", "b", "b"), run)] == ["c", "b"]
    assert ran == ["a", "b", "c"]
    assert own.run_missing(wanted("a"), lambda left: pytest.fail("there is nothing to run"))
    assert len(own.read()) == 3


def test_each_record_is_written_before_the_next_one_is_made(tmp_path: Path) -> None:
    own = records(tmp_path)

    def run(left: list[str]) -> Iterator[Record]:
        yield made("a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        own.run_missing([(("a", 1), "a"), (("b", 1), "b")], run)
    assert own.read() == [made("a")]
    assert [each["name"] for each in own.run_missing([(("b", 1), "b")], lambda left: map(made, left))] == ["b"]


def test_an_item_with_several_records_is_run_again_if_one_is_missing(tmp_path: Path) -> None:
    own, ran = records(tmp_path), []

    def run(left: list[str]) -> Iterator[Record]:
        for name in left:
            ran.append(name)
            yield from (made(name, size, len(ran)) for size in (1, 2))

    wanted = [(("a", size), "a") for size in (1, 2)]
    own.run_missing(wanted, run)
    own.path.write_bytes(own.path.read_bytes()[:-3])
    assert [each["value"] for each in own.run_missing(wanted, run)] == [2, 2] and ran == ["a", "a"]


def test_items_without_a_record_are_left_out(tmp_path: Path) -> None:
    assert records(tmp_path).run_missing([(("a", 1), "a")], lambda left: []) == []


COMMITTED = {
    "final": (("trial", "circumstances"), 149),
    "tuning": (("trial", "circumstances"), 78),
    "costs": (("key",), 9),
    "off_the_shelf": (("matching", "prop_attn", "r"), 41),
    "vlm": (("size", "step", "machine"), 6),
}


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_records_are_complete(name: str) -> None:
    key, least = COMMITTED[name]
    path = Path(__file__).parents[2] / "benchmarks" / "results" / f"{name}.jsonl"
    assert len(Records(path, key).read()) == len(path.read_text().splitlines()) >= least


def test_only_one_process_at_a_time_adds_records(tmp_path: Path) -> None:
    own = records(tmp_path)
    own.add(made("a"))

    def run(left: list[str]) -> Iterator[Record]:
        for name in left:
            for again in (lambda: own.add(made("c")), lambda: own.run_missing([(("c", 1), "c")], run)):
                with pytest.raises(MergeMixError, match=r"records\.jsonl: is being written by another process"):
                    again()
            assert own.run_missing([(("a", 1), "a")], run) == [made("a")]  # nothing to add, so no lock is needed
            yield made(name)

    assert own.run_missing([(("b", 1), "b")], run) == [made("b")]
    assert own.read() == [made("a"), made("b")]
    assert [path.name for path in own.path.parent.iterdir()] == ["records.jsonl"]


def test_records_added_by_another_process_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = records(tmp_path)

    @contextmanager
    def late(path: Path) -> Iterator[None]:
        path.parent.mkdir()
        path.write_text(json.dumps(made("a")) + "\n")
        yield

    monkeypatch.setattr("benchmarks.records.locked", late)
    wanted = [(("a", 1), "a"), (("b", 1), "b")]
    assert own.run_missing(wanted, lambda left: [made(name, value=0.75) for name in left]) == [
        made("a"),
        made("b", value=0.75),
    ]


def test_lines_are_complete_whichever_call_fails(tmp_path: Path) -> None:
    own, number = records(tmp_path), 0
    own.add(made("a"))
    while True:
        number += 1
        with failing(number) as faults:
            try:
                own.add(made("b"))
            except MergeMixError as error:
                assert str(own.path) in error.argument and "No space left" in str(error)
        if not faults.failed:
            break
        assert own.read() == [made("a")] and own.path.read_bytes().endswith(b"}\n")
        assert [path.name for path in own.path.parent.iterdir()] == ["records.jsonl"]
    assert number == 6 and own.read() == [made("a"), made("b")]


def test_nothing_is_added_through_a_link(tmp_path: Path) -> None:
    own = records(tmp_path)
    own.path.parent.mkdir()
    (tmp_path / "precious").write_text("")
    own.path.symlink_to(tmp_path / "precious")
    with pytest.raises(MergeMixError, match="cannot be written"):
        own.add(made("a"))
    assert (tmp_path / "precious").read_text() == ""

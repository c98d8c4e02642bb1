"""Untrusted lines are either read as pairs in the folder, or refused by file and line number."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.preference.disk import PairFolder, write_pairs
from timm_mergemix.preference.lines import LINES, check_same, read_lines, to_text

from ..mix.batches import quick
from .written import made

LINE = {
    "id": 0,
    "winner": "winner/00000000.png",
    "loser": "loser/00000000.png",
    "label": 3,
    "partner": 5,
    "ratio": 0.25,
    "mass": 0.25,
    "kind": "mergemix",
}
DEEP = b"[" * 200_000


@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        b'{"id": ' + DEEP,
        b"\xff",
        to_text(LINE).replace(b"mergemix", b"\xff\xfe"),
        to_text(LINE)[:-1],
        b"9" * 5000,
        to_text(LINE | {"label": 2**63}),
        to_text(LINE | {"id": 10**30}),
        to_text(LINE | {"ratio": True}),
        to_text(LINE | {"mass": "0.5"}),
        to_text(LINE | {"mass": 1e400}),
        to_text(LINE | {"winner": ["x"]}),
    ],
    ids=range(12),
)
def test_a_malformed_line_is_refused_by_number(tmp_path: Path, text: bytes) -> None:
    (tmp_path / LINES).write_bytes(to_text(LINE) + b"\n" + text + b"\n")
    for read in (read_lines, PairFolder, lambda directory: write_pairs(made(1), directory)):
        with pytest.raises(MergeMixError, match=r"pairs\.jsonl, line 2: got .*, wanted a pair as write") as raised:
            read(tmp_path)
        assert len(str(raised.value)) < 600


@pytest.mark.parametrize("name", ["../x.png", "/etc/passwd", "winner/../../x.png", "..\\x.png", "C:\\x.png", "", "a\0"])
@pytest.mark.parametrize("which", ["winner", "loser"])
def test_paths_outside_the_folder_are_refused(tmp_path: Path, which: str, name: str) -> None:
    (tmp_path / LINES).write_bytes(to_text(LINE | {which: name}) + b"\n")
    for read in (PairFolder, lambda directory: write_pairs(made(1), directory)):
        with pytest.raises(MergeMixError, match=rf"pairs.jsonl, line 1: got .*, wanted a path of the {which} inside"):
            read(tmp_path)


def test_a_duplicate_pair_is_refused(tmp_path: Path) -> None:
    """Two programs that write to one folder leave such lines, and overwrite each other's images."""
    write_pairs(made(1), tmp_path)
    path = tmp_path / LINES
    path.write_bytes(path.read_bytes() * 2)
    for read in (PairFolder, lambda directory: write_pairs(made(2), directory)):
        with pytest.raises(MergeMixError, match=rf"^{path}, line 5: got the id 0 again, wanted one line per pair"):
            read(tmp_path)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pairs(made(1), tmp_path)

    def fail(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(MergeMixError, match=r"pairs\.jsonl: cannot be read: .*Permission denied"):
        PairFolder(tmp_path)


def test_class_names_of_any_characters_round_trip(tmp_path: Path) -> None:
    names = ["\udcff", "\u2028", 'a"b', "ä", "a\nb"] * 2  # the first as from a file name that is not UTF-8
    write_pairs(made(1), tmp_path, classes=names)
    assert [line["label_name"] for line in PairFolder(tmp_path).lines] == [names[i] for i in (0, 1, 3, 4)]


@settings(quick, max_examples=60)
@given(st.integers(0, len(to_text(LINE))), st.integers(0, len(to_text(LINE))), st.binary(max_size=6))
def test_an_arbitrarily_damaged_line_is_read_as_a_pair_or_refused(start: int, end: int, instead: bytes) -> None:
    text = to_text(LINE)
    with TemporaryDirectory() as name:
        (Path(name) / LINES).write_bytes(text[:start] + instead + text[end:] + b"\n")
        try:
            lines, rest = read_lines(Path(name))
        except MergeMixError as error:
            assert error.argument.startswith(str(Path(name) / LINES))
        else:
            assert rest == b"" and all(line.keys() >= LINE.keys() for line in lines)


def test_lines_of_the_same_pair_may_differ_only_by_rounding() -> None:
    line = {"id": 3, "ratio": 0.5, "label": 1}
    check_same(Path("pairs"), line, line | {"ratio": 0.5001})
    for other in (line | {"ratio": 0.6}, line | {"label": 2}, line | {"more": 1}):
        with pytest.raises(MergeMixError, match=r"^batches: got a pair that differs from .*line 4 "):
            check_same(Path("pairs"), line, other)

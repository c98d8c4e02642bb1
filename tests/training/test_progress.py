"""Lines and progress bars appear where they are read."""

import subprocess
import sys

import pytest

from timm_mergemix import MergeMixError
from timm_mergemix.errors import installed
from timm_mergemix.training.progress import Reporter


def use(reporter: Reporter) -> None:
    with reporter.bar("learning", total=2) as bar:
        bar.step(loss=1)
        bar.step()
    reporter.say("a line")


@pytest.mark.parametrize(
    ("options", "bar", "line"),
    [
        ({}, False, True),  # standard error is no terminal here
        ({"progress": True}, True, True),
        ({"progress": False}, False, True),
        ({"progress": True, "quiet": True}, False, False),
        ({"quiet": True}, False, False),
    ],
)
def test_what_is_shown(capsys: pytest.CaptureFixture[str], options: dict[str, bool], bar: bool, line: bool) -> None:
    use(Reporter(**options))
    shown = capsys.readouterr()
    assert ("learning" in shown.err and "2/2" in shown.err) == bar
    assert (shown.out == "a line\n") == line


def test_a_terminal_gets_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert Reporter().bars and not Reporter(progress=False).bars


def test_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timm_mergemix.training.progress.installed", lambda package: False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert not Reporter().bars
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(MergeMixError, match="progress bar needs tqdm"):
        use(Reporter(progress=True))
    assert installed("pytest")


def test_work_continues_after_the_reader_has_left() -> None:
    code = (
        "import sys; from timm_mergemix.training.progress import Reporter\n"
        "sys.stdin.readline()\n"
        "for i in range(3): Reporter().say(f'line {i}')\n"
        "print('done', file=sys.stderr)"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as process:
        process.stdout.close()
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stderr.read() == "done\n"
    assert process.returncode == 0

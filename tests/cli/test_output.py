"""A command prints progress lines and a result, for people or for programs."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from timm_mergemix.cli.output import Output, add_output


def output(*options: str) -> Output:
    parser = argparse.ArgumentParser()
    add_output(parser)
    return Output(parser.parse_args(options))


def test_lines_and_results(capsys: pytest.CaptureFixture[str]) -> None:
    for options, lines, result in (
        ((), "on the way\n", "a table\n"),
        (("--quiet",), "", "a table\n"),
        (("--json",), "", '{\n  "top1": null,\n  "path": "a/b"\n}\n'),
    ):
        made = output(*options)
        made.reporter.say("on the way")
        made.result("a table", {"top1": float("nan"), "path": Path("a/b")})
        assert capsys.readouterr().out == lines + result


def test_quiet_output_begins_with_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    for options, text in (((), "\na table\n\nmore\n"), (("--quiet",), "a table\n\nmore\n")):
        output(*options).result("\na table\n\nmore", {})
        assert capsys.readouterr().out == text


def test_only_json_is_printed_and_nothing_is_coloured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "timm_mergemix", "tune", "50", "--model", "test_vit"]
    for more in ([], ["--json"]):
        environment = {**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "0", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, "--rounds", "1", "--batch-size", "1", *more],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
            cwd=tmp_path,
        )
        assert "\x1b" not in done.stdout + done.stderr
    assert json.loads(done.stdout)[0].keys() == {"r", "speedup", "tokens", "similarity", "top1", "top1_unmerged"}

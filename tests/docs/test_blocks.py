"""Every block of code in the documentation runs, or is a command that there is."""

import os
import re
import shlex
from pathlib import Path

import pytest
import torch

import timm_mergemix as mm
from benchmarks.command import build_parser as build_program
from benchmarks.command import find_command
from timm_mergemix.cli.main import build_parser
from timm_mergemix.mixers import registry

from .offline import without_downloads, write_images

ROOT = Path(__file__).parents[2]
FRONT = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]
PAGES = [*FRONT, *sorted((ROOT / "docs").rglob("*.md"))]
NEEDS = {
    "adapters.md": "peft",
    "export.md": "onnxscript",
    "fsdp.md": "accelerate",
    "lightning.md": "lightning",
    "questions.md": "transformers",
    "trainer.md": "transformers",
    "transformers.md": "transformers",
    "vision-language.md": "transformers",
}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES[1:] if blocks(page, "python")], ids=name)
def test_python_runs_from_top_to_bottom(  # the README's: tests/test_readme.py
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if page.name in NEEDS:
        pytest.importorskip(NEEDS[page.name])
    monkeypatch.chdir(tmp_path)
    without_downloads(monkeypatch)
    write_images(tmp_path / "val")
    monkeypatch.setattr(registry, "_MIXERS", dict(registry._MIXERS))
    torch.manual_seed(0)
    names: dict[str, object] = {}
    sections = re.split(r"^### `(.*)`$", page.read_text(), flags=re.MULTILINE)
    for code in re.findall(r"```python\n(.*?)```", sections[0], flags=re.DOTALL):
        exec(compile(code, name(page), "exec"), names)
    for message, section in zip(sections[1::2], sections[2::2], strict=True):
        for code in re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL):
            with pytest.raises(mm.MergeMixError) as raised:
                exec(compile(code, name(page), "exec"), names)
            assert message in str(raised.value)
            mm.unpatch(names["model"])


def commands(page: Path) -> list[str]:
    text = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    return [line.split("#")[0].strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "bash")], ids=name)
def test_commands_exist(page: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    extras = re.findall(r"^([a-z]+) = \[", (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    for line in commands(page):
        words = [word for word in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=.*", word)]
        if words[0] == "make":
            assert all(word in targets for word in words[1:]), line
        elif words[0] == "timm-mergemix":
            build_parser().parse_args(words[1:])
        elif words[:2] == ["pip", "install"]:
            asked = ",".join(re.findall(r"\[(.*)\]", line))
            assert all(extra in extras for extra in asked.split(",") if extra), line
        elif words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
            build_program(find_command(words[2])).parse_args(words[3:])
        elif words[0] == "python" and words[1].endswith(".py"):
            assert (ROOT / words[1]).is_file(), line
        else:
            assert words[0] in ("python", "torchrun", "git", "cd", "cp", "pre-commit"), line


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_benchmarks_that_are_named_in_a_sentence_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for command in re.findall(r"`python -m (benchmarks\.[^`]+)`", text):
        program, *arguments = shlex.split(command)
        parser = build_program(find_command(program))
        if arguments:
            parser.parse_args(arguments)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http", "mailto:")):
            assert os.path.exists(page.parent / target), target

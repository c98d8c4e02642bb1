"""The flags in the settings are flags of the launcher."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from timm_mergemix.launch.script import run_script
from tools.train_matrix import flags

STAND_IN = Path(__file__).parents[2] / "launch" / "scripts" / "train_new.py"


def given() -> set[str]:
    """Returns all flags in the file."""
    values = [value for name, value in vars(flags).items() if name.isupper()]
    texts = [text for value in values for text in ([value] if isinstance(value, str) else value)]
    return {flag for text in texts for flag in re.findall(r"--[a-z-]+", text)}


@pytest.fixture
def known(capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Returns all flags that the launcher and the script take."""
    with pytest.raises(SystemExit):
        run_script(STAND_IN, ["--help"])
    return set(re.findall(r"--[a-z-]+", capsys.readouterr().out))


def test_the_launcher_accepts_each_flag(known: set[str]) -> None:
    assert {"--mergemix", "--no-merge-eval", "--preference"} <= given()
    assert given() <= known


def test_keys_and_flags_of_the_config_agree() -> None:
    said = flags.CONFIG_FLAGS.replace("--no-merge-eval", "--merge-eval false").split()
    keys = {key.strip("-").replace("-", "_"): value for key, value in zip(said[::2], said[1::2], strict=True)}
    assert keys.keys() == flags.CONFIG.keys()
    for key, value in flags.CONFIG.items():
        assert yaml.safe_load(f"[{keys[key]}]" if isinstance(value, list) else keys[key]) == value


def test_names_are_listed_once_and_without_values() -> None:
    assert flags.names(("--a 1", "--b", "--a 2")) == "--a, --b"

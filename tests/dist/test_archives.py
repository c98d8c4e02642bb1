"""`make dist-test` notices an archive that holds too much or too little."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from . import archives

TRACKED = {"Makefile", ".gitignore", "timm_mergemix/__init__.py", "timm_mergemix/py.typed", "tests/test_init.py"}
INFO = {f"timm_mergemix-1.dist-info/{name}" for name in ("METADATA", "entry_points.txt", "licenses/LICENSE")}
WHEEL = {"timm_mergemix/__init__.py", "timm_mergemix/py.typed", *INFO}
SDIST = {"PKG-INFO", "setup.cfg", "timm_mergemix.egg-info/PKG-INFO", *TRACKED} - {".gitignore"}


@pytest.fixture(autouse=True)
def small_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository of few files."""
    monkeypatch.setattr(archives, "tracked", lambda: TRACKED)


def write(folder: Path, wheel: Iterable[str] = WHEEL, sdist: Iterable[str] = SDIST) -> Path:
    """Writes two archives whose files are empty."""
    with zipfile.ZipFile(folder / "a.whl", "w") as archive:
        for name in wheel:
            archive.writestr(name, "")
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        for name in sdist:
            archive.addfile(tarfile.TarInfo(f"timm_mergemix-1/{name}"), io.BytesIO())
    return folder


def test_right_archives_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archives.main(write(tmp_path))
    assert "hold what they should" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wheel",
    [WHEEL | {"tests/test_init.py"}, WHEEL | {"tools/__init__.py"}, WHEEL - {"timm_mergemix/py.typed"}, WHEEL - INFO],
)
def test_a_wheel_holds_the_package_and_its_metadata(wheel: set[str], tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        archives.main(write(tmp_path, wheel=wheel))


@pytest.mark.parametrize("sdist", [SDIST - {"Makefile"}, SDIST - {"tests/test_init.py"}, SDIST | {"runs/log.txt"}])
def test_a_source_distribution_holds_what_git_tracks(sdist: set[str], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="beside what git tracks"):
        archives.main(write(tmp_path, sdist=sdist))

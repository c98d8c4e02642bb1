"""The wheel holds the package alone, and the source distribution what git tracks: ``archives.py dist``, by `make dist-test`."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = "timm_mergemix"
# What a build adds to a source distribution.
BUILT = {"PKG-INFO", "setup.cfg"}


def main(folder: Path) -> None:
    """Checks the one wheel and the one source distribution in a folder."""
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    check_wheel(wheel)
    check_sdist(sdist)
    print(f"{wheel.name} and {sdist.name} hold what they should")


def check_wheel(path: Path) -> None:
    """The package with all of its sources and its metadata; neither tests nor benchmarks nor tools."""
    with zipfile.ZipFile(path) as archive:
        held = set(archive.namelist())
    info = {name for name in held if name.split("/")[0].endswith(".dist-info")}
    assert held - info == {name for name in tracked() if name.startswith(f"{PACKAGE}/")}
    assert f"{PACKAGE}/py.typed" in held
    assert {Path(name).name for name in info} >= {"METADATA", "LICENSE", "entry_points.txt"}


def check_sdist(path: Path) -> None:
    """All that git tracks but hidden files, so that `make test`, `make census`, `make docs` and others work in it."""
    with tarfile.open(path) as archive:
        names = [member.name.split("/", 1)[1] for member in archive.getmembers() if member.isfile()]
    held = {name for name in names if not name.startswith(f"{PACKAGE}.egg-info/")} - BUILT
    wanted = {name for name in tracked() if not name.startswith(".")}
    assert held == wanted, f"beside what git tracks {sorted(held - wanted)}, without {sorted(wanted - held)}"


def tracked() -> set[str]:
    """The files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(filter(None, listed.stdout.split("\0")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

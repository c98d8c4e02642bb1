"""Finds, loads and runs a script, as ``python SCRIPT ARGUMENTS`` would."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from inspect import signature
from pathlib import Path
from types import ModuleType

from ..errors import MergeMixError, Words, unusable, wrong

__all__ = ["OLDEST_TIMM", "TRAINING", "check_script", "check_timm", "loaded", "main", "run_script"]

USAGE = "python -m timm_mergemix.launch SCRIPT [the script's flags] [--mergemix ALPHA] [--merge-r R] ..."
ABOUT = f"""usage: {USAGE}

Runs timm's train.py, validate.py or benchmark.py, unmodified, with token merging and MergeMix.
SCRIPT --help lists the script's flags and, in groups of their own, those of this library."""

OLDEST_TIMM = "1.0.20"
NAME = "timm_mergemix_launched_script"  # not __main__, so that loading it does not run it
NEEDED = ("parser", "main", "create_model")
TRAINING = ("train_one_epoch", "validate", "create_loader")  # what a script has besides if it trains
BAD_INPUT = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a script from the command line, and turns errors into an exit code.

    Returns:
        0 for success, 2 for bad input.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0].startswith("-"):
        asked = bool(argv) and argv[0] in ("-h", "--help")
        print(ABOUT, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else BAD_INPUT
    try:
        run_script(Path(argv[0]), argv[1:])
    except MergeMixError as error:
        process = f" (process {os.environ['RANK']})" if "RANK" in os.environ else ""
        print(f"timm_mergemix.launch{process}: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0


def run_script(path: Path, arguments: Sequence[str]) -> None:
    """Runs one of timm's scripts with the flags of this library.

    Args:
        path: timm's ``train.py``, ``validate.py``, ``benchmark.py``, or a script with the same globals.
        arguments: Its arguments, with ours among them.

    Raises:
        MergeMixError: If the file is not such a script, timm is too old, or the request cannot work.
    """
    if not path.is_file():
        raise wrong("script", str(path), "the path of timm's train.py, validate.py or benchmark.py")
    check_timm()
    from .hooks import hook  # imports timm

    with loaded(path, arguments) as script:
        check_script(script)
        hook(script)
        script.main()


def check_timm() -> None:
    """Raises if the timm that Python finds, perhaps in the working directory, is too old."""
    try:
        timm = import_module("timm")
    except ImportError as error:
        raise unusable("timm", f"cannot be imported: {error}") from error
    from torch.torch_version import TorchVersion  # here, so that a mistyped path is answered without torch

    if TorchVersion(timm.__version__) < OLDEST_TIMM:
        raise wrong(
            "timm",
            Words(f"{timm.__version__} in {', '.join(timm.__path__)}"),
            f"{OLDEST_TIMM} or newer, with which the scripts of older releases run too (a folder 'timm' "
            "in the working directory hides the installed one)",
        )


@contextmanager
def loaded(path: Path, arguments: Sequence[str]) -> Iterator[ModuleType]:
    """Loads the script as a module, with ``sys.argv`` and ``sys.path`` as it expects them.

    Its folder is searched last, so that a ``timm`` beside it does not take the place of the installed one.

    Raises:
        MergeMixError: If it cannot be imported.
    """
    spec = spec_from_file_location(NAME, path)
    if spec is None or spec.loader is None:
        raise wrong("script", str(path), "a Python file")
    script = module_from_spec(spec)
    argv, search = sys.argv, list(sys.path)
    sys.argv = [str(path), *arguments]
    sys.path.append(str(path.resolve().parent))
    sys.modules[NAME] = script
    try:
        try:
            spec.loader.exec_module(script)
        except ImportError as error:
            raise unusable("script", f"{path} cannot be imported: {error}{_remedy(error)}") from error
        except SyntaxError as error:
            raise unusable("script", f"{path} is not valid Python: {error}") from error
        yield script
    finally:
        sys.argv, sys.path[:] = argv, search
        del sys.modules[NAME]


def _remedy(error: ImportError) -> str:
    if (error.name or "").split(".")[0] != "timm":
        return ""
    return f"; timm is {import_module('timm').__version__}, take the script of that release"


def check_script(script: ModuleType) -> None:
    """Raises if a script lacks globals of timm's scripts, or its epochs have another signature than theirs."""
    needed = (*NEEDED, *TRAINING) if hasattr(script, "train_one_epoch") else NEEDED
    missing = [name for name in needed if not hasattr(script, name)]
    if missing or not isinstance(script.parser, ArgumentParser):
        lacks = ", ".join(missing) or "an argparse parser named parser"
        raise unusable(
            "script",
            f"{script.__file__} has no {lacks}; wanted timm's train.py, validate.py or benchmark.py, or "
            "one with the same globals",
        )
    if "train_one_epoch" not in needed:
        return
    parameters = signature(script.train_one_epoch).parameters
    if not {"epoch", "loader", "args"} <= set(parameters) or not {"loss_fn", "task"} & set(parameters):
        wanted = "epoch, loader, args, and loss_fn or task among its parameters"
        raise unusable("script", f"train_one_epoch of {script.__file__} takes {', '.join(parameters)}; wanted {wanted}")

"""Parses a script's command line once, and tells typed values, values of a YAML file and defaults apart."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..config import given_flags
from .flags import CONFIGS, SCRIPT_FIELDS, dest

__all__ = ["MARKED", "Parsed", "watch"]

# The value of these flags does not tell whether it was given: they have a default of the script's, or 0 for off.
# The kind of mixing and the label smoothing are always the script's.
MARKED = tuple(dest(name) for name in SCRIPT_FIELDS if name not in ("mode", "label_smoothing"))
MARKED += (dest("mergemix_alpha"),)


class Typed(float):
    """A number that was typed, as opposed to a default."""


@dataclass(frozen=True)
class Parsed:
    """The result of parsing a command line.

    Attributes:
        args: The arguments, as the script gets them.
        ours: By field, the values of the script's flags that belong to a config of this library, whoever added the
            flag; what is None is left out.
        given: Those of `MARKED` that the command line or a YAML file gives.
        defaults: What the script's flags and ours are where nothing is given.
        yaml: What was set in place of those defaults, by a YAML file; also what is no flag at all.
    """

    args: Namespace
    ours: Mapping[str, Any]
    given: frozenset[str]
    defaults: Mapping[str, Any]
    yaml: Mapping[str, Any]


def watch(parser: ArgumentParser, then: Callable[[Parsed], None]) -> None:
    """Makes a parser call ``then`` after parsing, before the script gets the arguments.

    timm's scripts read the YAML file of ``--config`` by the parser's ``set_defaults``.

    Args:
        parser: The script's, with our flags.
        then: May change the arguments.
    """
    defaults = {action.dest: action.default for action in parser._actions}
    yaml: dict[str, Any] = {}
    for action in parser._actions:
        if action.dest in MARKED and callable(action.type):
            action.type = _marked(action.type)
    set_defaults, parse = parser.set_defaults, parser.parse_args

    def recording(**values: Any) -> None:
        yaml.update(values)
        set_defaults(**values)

    def parse_args(*args: Any, **kwargs: Any) -> Any:
        parsed: Any = parse(*args, **kwargs)
        given = frozenset(name for name in MARKED if _is_given(name, parsed, defaults, yaml))
        _unmark(parsed)
        found = {name: value for config in CONFIGS for name, value in given_flags(parsed, config).items()}
        # A YAML file may hold keys that are no flags of this script, and sets attributes by them all the same.
        ours = {name: value for name, value in found.items() if dest(name) in defaults}
        then(Parsed(parsed, ours, given, defaults, yaml))
        return parsed

    parser.set_defaults = recording  # type: ignore[method-assign]
    parser.parse_args = parse_args  # type: ignore[method-assign]


def _marked(read: Callable[[str], Any]) -> Callable[[str], Any]:
    def marked(text: str) -> Any:
        value = read(text)
        return Typed(value) if isinstance(value, float) else value

    marked.__name__ = getattr(read, "__name__", "value")  # argparse says "invalid float value"
    return marked


def _is_given(name: str, args: Namespace, defaults: Mapping[str, Any], yaml: Mapping[str, Any]) -> bool:
    value = getattr(args, name, None)
    if any(isinstance(number, Typed) for number in (value if isinstance(value, list) else [value])):
        return True
    # A file that names a recipe is the args.yaml of a run with one, or written for one: then it means what it says.
    for_recipe = yaml.get(dest("recipe")) is not None
    return name in yaml and (for_recipe or yaml[name] != defaults.get(name))


def _unmark(args: Namespace) -> None:
    """Replaces marked numbers by plain ones, which YAML can write."""
    for name in MARKED:
        value = getattr(args, name, None)
        if isinstance(value, list):
            setattr(args, name, [float(number) if isinstance(number, Typed) else number for number in value])
        elif isinstance(value, Typed):
            setattr(args, name, float(value))

"""Groups of settings as frozen dataclasses. Flags, recipes and tables are made from their fields."""

from __future__ import annotations

from argparse import ArgumentTypeError, BooleanOptionalAction, Namespace
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from .errors import MergeMixError, check_choice, check_int, check_number, wrong

__all__ = [
    "Config",
    "Option",
    "add_flags",
    "flag_names",
    "given_flags",
    "integer",
    "number",
    "option",
    "read_number",
    "shown",
    "typed",
]

Check = Callable[[str, Any], None]


class Option:
    """The properties of a field other than its name, type and default.

    Args:
        help: A few words on what the field does.
        check: A function that raises a `MergeMixError` with the argument's name if the value cannot be used.
        flag: The flag on command lines; by default the field's name. Empty if the field has no flag.
        read: Converts a word of the command line to a value. ``bool`` makes a switch with a ``--no-`` form.
        choices: All values that are allowed; ``check`` is then not needed.
        typed: Those of the choices that a command line accepts; None for all of them.
        metavar: The placeholder of the value in a help text.
        nargs: The number of words on the command line, as in argparse.
        optional: Whether None is allowed too.
    """

    def __init__(
        self,
        help: str,
        check: Check | None = None,
        *,
        flag: str | None = None,
        read: Callable[[str], Any] = str,
        choices: tuple[str, ...] = (),
        typed: tuple[str, ...] | None = None,
        metavar: str | None = None,
        nargs: int | None = None,
        optional: bool = False,
    ) -> None:
        self.help = help
        self.flag = flag
        self.read = read
        self.choices = choices
        self.typed = choices if typed is None else typed
        self.metavar = metavar
        self.nargs = nargs
        self.optional = optional
        self._check = check

    def check(self, argument: str, value: Any) -> None:
        """Raises unless ``value`` can be used."""
        if value is None and self.optional:
            return
        if self.choices:
            check_choice(argument, value, self.choices)
        elif self.read is bool and not isinstance(value, bool):
            raise wrong(argument, value, "True or False")
        elif self._check is not None:
            self._check(argument, value)


def option(default: Any, help: str, check: Check | None = None, **details: Any) -> Any:
    """Makes a field of a `Config`; ``details`` are the other arguments of `Option`."""
    return field(default=default, metadata={"option": Option(help, check, **details)})


def number(low: float, high: float = float("inf")) -> Check:
    """Returns a check for a finite number from ``low`` to ``high``; `check_positive` is the check for one above 0."""
    return lambda argument, value: check_number(argument, value, low, high)


def integer(low: int) -> Check:
    """Returns a check for an integer of at least ``low``."""
    return lambda argument, value: check_int(argument, value, low)


@dataclass(frozen=True)
class Config:
    """Base class of a group of settings. Each field is an `option`.

    Raises:
        MergeMixError: If a value cannot be used. The error names the field.
    """

    def __post_init__(self) -> None:
        self.check(vars(self))

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Returns the options by the name of their field."""
        return {each.name: each.metadata["option"] for each in fields(cls)}

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> None:
        """Raises if a value that belongs to a field cannot be used; all other values are ignored."""
        for name, each in cls.options().items():
            if name in values:
                each.check(name, values[name])

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Any:
        """Makes a config from the values that belong to a field, for example from the ``locals()`` of a function."""
        return cls(**{name: values[name] for name in cls.options() if name in values})


class _Parser(Protocol):
    """An argparse parser, or an argument group of one."""

    def add_argument(self, *names: str, **details: Any) -> Any: ...


def flag_names(*configs: type[Config]) -> dict[str, str]:
    """Returns the flag of each field that has one."""
    return {
        name: "--" + name.replace("_", "-") if each.flag is None else each.flag
        for config in configs
        for name, each in config.options().items()
        if each.flag != ""
    }


def add_flags(parser: _Parser, config: type[Config], without: Collection[str] = (), unset: str = "") -> None:
    """Adds a flag for each field that has one. The value of a flag that is not given is None.

    Args:
        parser: The parser that gets the flags.
        config: The config class whose fields are used.
        without: Names of fields that get no flag.
        unset: The default that help texts show; if empty, the default of the field.
    """
    defaults = {each.name: each.default for each in fields(config)}
    for name, flag in flag_names(config).items():
        if name in without:
            continue
        each = config.options()[name]
        text = f"{each.help} (default: {unset or shown(defaults[name])})"
        details: dict[str, Any] = {"help": text.replace("%", "%%"), "default": None}
        if each.read is bool:
            parser.add_argument(flag, action=BooleanOptionalAction, **details)
        elif each.typed:
            parser.add_argument(flag, choices=each.typed, **details)
        else:
            metavar = each.metavar or flag.rpartition("-")[2].upper()
            parser.add_argument(flag, type=typed(each.read), metavar=metavar, nargs=each.nargs, **details)


def given_flags(args: Namespace, config: type[Config]) -> dict[str, Any]:
    """Returns the values that a command line sets, by the name of their field."""
    values = {name: getattr(args, flag[2:].replace("-", "_"), None) for name, flag in flag_names(config).items()}
    return {name: value for name, value in values.items() if value is not None}


def read_number(text: str) -> float:
    """Reads a number from a word of the command line; a whole number becomes an integer."""
    value = float(text)
    return int(value) if value.is_integer() else value


def shown(value: Any) -> str:
    """Formats a default as it is written on a command line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return ":".join(map(str, value)) if isinstance(value, tuple) else str(value)


def typed(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Wraps a reader as a ``type`` for argparse, so that argparse reports its errors."""

    def read_word(text: str) -> Any:
        try:
            return read(text)
        except MergeMixError as error:
            raise ArgumentTypeError(f"got {error.got}, wanted {error.wanted}") from error

    read_word.__name__ = read.__name__  # argparse says "invalid float value"
    return read_word

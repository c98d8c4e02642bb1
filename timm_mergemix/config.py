"""Settings as frozen dataclasses, from whose fields command-line flags, recipes and tables are derived."""

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
    "flag_of",
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
    """What is known about a field besides its name, type and default.

    Args:
        help: A few words on what it does.
        check: Raises a `MergeMixError` that names the argument unless the value can be used.
        flag: Its name on the command line. By default it is made from the field's name; empty for no flag.
        read: Reads a value from a word of the command line. ``bool`` makes a switch with a ``--no-`` form.
        choices: The allowed values, which make ``check`` unnecessary.
        typed: The choices that the command line takes; None for all.
        metavar: Stands for the value in a help text.
        nargs: As in argparse.
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
    """A field of a `Config`; ``details`` are passed to `Option`."""
    return field(default=default, metadata={"option": Option(help, check, **details)})


def number(low: float, high: float = float("inf")) -> Check:
    """A check for a finite number from ``low`` to ``high``. For a number above 0 use `check_positive`."""
    return lambda argument, value: check_number(argument, value, low, high)


def integer(low: int) -> Check:
    """A check for an integer of at least ``low``."""
    return lambda argument, value: check_int(argument, value, low)


@dataclass(frozen=True)
class Config:
    """Base class of settings. Each field is an `option`.

    Raises:
        MergeMixError: If a value cannot be used. The error names the field.
    """

    def __post_init__(self) -> None:
        self.check(vars(self))

    @classmethod
    def options(cls) -> dict[str, Option]:
        """The options by the names of their fields."""
        return {each.name: each.metadata["option"] for each in fields(cls)}

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> None:
        """Raises if a value that belongs to a field cannot be used; other values are ignored."""
        for name, each in cls.options().items():
            if name in values:
                each.check(name, values[name])

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Any:
        """Makes a config of the values that belong to a field, such as the ``locals()`` of a function."""
        return cls(**{name: values[name] for name in cls.options() if name in values})


class _Parser(Protocol):
    """An argparse parser, or a group of one."""

    def add_argument(self, *names: str, **details: Any) -> Any: ...


def flag_names(*configs: type[Config]) -> dict[str, str]:
    """The flag of each field that has one."""
    return {
        name: "--" + name.replace("_", "-") if each.flag is None else each.flag
        for config in configs
        for name, each in config.options().items()
        if each.flag != ""
    }


def flag_of(flag: str, value: Any) -> str:
    """The flag as it is typed for a value: a switch that is off has its ``--no-`` form."""
    return f"--no-{flag[2:]}" if value is False else flag


def add_flags(parser: _Parser, config: type[Config], without: Collection[str] = (), unset: str = "") -> None:
    """Adds a flag for each field that has one. A flag that is not given is None.

    Args:
        parser: The parser that gets the flags.
        config: The class with the fields.
        without: Names of fields to leave out.
        unset: What help texts say of a flag that is not given; by default the default of the field.
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
    """The values that a command line gives for the fields of a config, by the field's name."""
    values = {name: getattr(args, flag[2:].replace("-", "_"), None) for name, flag in flag_names(config).items()}
    return {name: value for name, value in values.items() if value is not None}


def read_number(text: str) -> float:
    """Reads a number from a word of the command line; a whole number becomes an int."""
    value = float(text)
    return int(value) if value.is_integer() else value


def shown(value: Any) -> str:
    """A default value as it is written on the command line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return ":".join(map(str, value)) if isinstance(value, tuple) else str(value)


def typed(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Makes a ``type`` for argparse that turns a `MergeMixError` into an error of the command line."""

    def read_word(text: str) -> Any:
        try:
            return read(text)
        except MergeMixError as error:
            raise ArgumentTypeError(f"got {error.got}, wanted {error.wanted}") from error

    read_word.__name__ = read.__name__  # argparse says "invalid float value"
    return read_word

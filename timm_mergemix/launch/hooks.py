"""Rebinds the globals of one script, so that it merges and mixes. Nothing in timm is changed."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from types import ModuleType
from typing import Any

from torch import nn

from ..arguments import read_r
from ..errors import MergeMixError, named, unusable
from ..merge.patch import merge_info, patch
from ..mix.mixer import Mixer
from ..mixers.mergemix import MergeMix
from .check import check, is_primary, merges, mixes, mixing_flag, reads, warn
from .epoch import run_epoch
from .flags import add_merge_flags, add_mix_flags
from .mixing import build_encoder, build_mixer
from .recipe import SHARED, fill
from .validation import run_validation

__all__ = ["LaterModelError", "Run", "hook", "image_sizes"]

_logger = logging.getLogger(__name__)

Function = Callable[..., Any]


class Run:
    """What the hooks of one run of a script share.

    Attributes:
        training: Whether the script trains.
        args: The script's arguments, once they are parsed.
        model: The first model that the script made, below every wrapper.
        encoder: Another model, whose attention is read; None where there is none.
        mixer: What mixes its batches; None where the script does so itself, or nobody.
    """

    def __init__(self, training: bool) -> None:
        self.training = training
        self.args = Namespace()
        self.model: Any = None
        self.encoder: nn.Module | None = None
        self.mixer: Mixer | None = None

    def started(self, args: Namespace, defaults: dict[str, Any], given: Collection[str]) -> None:
        """The script has parsed its arguments; ``defaults`` are those of its flags, ``given`` is for `fill`."""
        if self.training:
            fill(args, given)
        check(args, self.training)
        if is_primary(args):
            warn(args, defaults)
        self.args = args

    def create_model(self, original: Function, *args: Any, **kwargs: Any) -> nn.Module:
        """The script makes a model."""
        model = original(*args, **kwargs)
        mixing = self.training and mixes(self.args)
        reads_itself = mixing and reads(self.args) and not self.args.mergemix_encoder
        if merges(self.args) or reads_itself:
            # A model that is read is patched for good: a compiled one would not survive a change of classes each step.
            self._patch(model)
        if self.model is None:
            self.model = model
            if mixing:
                self.encoder = build_encoder(self.args) if reads(self.args) else None
                self.mixer = build_mixer(self.args, model, self.encoder)
                self._say_mixing()
        if merges(self.args) and not self.training:
            self._say_merging(model)
        return model

    def create_loader(self, original: Function, *args: Any, **kwargs: Any) -> Any:
        """The script makes a loader, whose images must leave enough tokens to merge."""
        training = kwargs.get("is_training", False)
        for size in image_sizes(kwargs):
            self._check_size(size, training)
        if self.mixer is not None and training:
            kwargs["collate_fn"] = None  # mixing in the workers would come before ours
        return original(*args, **kwargs)

    def _patch(self, model: nn.Module) -> None:
        args = self.args
        try:
            if merges(args):
                patch(model, read_r(args.merge_r), prop_attn=args.merge_prop_attn, matching=args.merge_matching)
            else:
                patch(model, 0)
        except MergeMixError as error:
            # A script that has done others before this model has results to lose: it notes such an error and goes on.
            kind = MergeMixError if self.model is None else LaterModelError
            raise kind(f"{'--merge-r' if merges(args) else mixing_flag(args)}: {error}") from error

    def _check_size(self, size: tuple[int, int], training: bool) -> None:
        if merges(self.args) and (training or self.args.merge_eval):
            with _naming("--merge-r"):
                merge_info(self.model, size)
            if training:
                self._say_merging(self.model, size)
        if training and isinstance(self.mixer, MergeMix):
            with named(r="--mergemix-r", scale="--mergemix-scale"):
                self.mixer.saliency.check_size(*size)

    def _say_merging(self, model: nn.Module, size: tuple[int, int] | None = None) -> None:
        if is_primary(self.args):
            pixels = "" if size is None else f" ({size[0]} x {size[1]} pixels)"
            _logger.info(f"Token merging, r={self.args.merge_r}{_tokens(model, size)}{pixels}")

    def _say_mixing(self) -> None:
        if is_primary(self.args):
            read = f", attention of {self.args.mergemix_encoder}" if self.encoder is not None else ""
            _logger.info(f"Batches are mixed on the device by {self.mixer}{read}")


class LaterModelError(MergeMixError, RuntimeError):
    """A model that cannot merge, after others that could; scripts that run many models expect a RuntimeError."""


@contextmanager
def _naming(flag: str) -> Iterator[None]:
    """Names the flag in errors of what it set."""
    try:
        yield
    except MergeMixError as error:
        raise unusable(flag, error) from error


def image_sizes(loader: dict[str, Any]) -> list[tuple[int, int]]:
    """Heights and widths of the images of a loader, from the arguments that make it."""
    sizes = loader.get("input_size_choices") or [loader["input_size"]] if "input_size" in loader else []
    return [(size, size) if isinstance(size, int) else (size[-2], size[-1]) for size in sizes]


def hook(script: ModuleType) -> Run:
    """Adds our flags to a script's parser, and rebinds the globals through which it merges and mixes.

    Args:
        script: A script that `timm_mergemix.launch.script.check_script` lets pass.

    Returns:
        What the hooks share; filled while the script runs.
    """
    run = Run(training=hasattr(script, "train_one_epoch"))
    _extend_parser(script.parser, run)
    _rebind(script, "create_model", run.create_model)
    if run.training:
        _rebind(script, "create_loader", run.create_loader)
        _rebind(script, "train_one_epoch", partial(run_epoch, run))
        _rebind(script, "validate", partial(run_validation, run))
    return run


def _extend_parser(parser: Any, run: Run) -> None:
    add_merge_flags(parser, run.training)
    if run.training:
        add_mix_flags(parser)
    defaults = {action.dest: action.default for action in parser._actions}  # before a YAML file changes them
    parse = parser.parse_args

    def parse_args(*args: Any, **kwargs: Any) -> Namespace:
        parsed = parse(*args, **kwargs)
        given = _given(parser, partial(parse, *args, **kwargs)) if run.training else ()
        run.started(parsed, defaults, given)
        return parsed

    parser.parse_args = parse_args


def _given(parser: Any, parse: Callable[[], Namespace]) -> Collection[str]:
    """Which of `SHARED` the command line gives: they are not None where nothing else says what they are."""
    before = {name: parser.get_default(name) for name in SHARED}
    parser.set_defaults(**dict.fromkeys(SHARED))
    parsed = parse()
    parser.set_defaults(**before)
    return {name for name in SHARED if getattr(parsed, name) is not None}


def _rebind(script: ModuleType, name: str, replacement: Function) -> None:
    original = getattr(script, name)

    @wraps(original)
    def hooked(*args: Any, **kwargs: Any) -> Any:
        return replacement(original, *args, **kwargs)

    setattr(script, name, hooked)


def _tokens(model: nn.Module, size: tuple[int, int] | None) -> str:
    """The tokens after each block, where the model has an image size of its own."""
    try:
        return f": tokens {', '.join(map(str, merge_info(model, size).tokens))}"
    except MergeMixError:
        return ""

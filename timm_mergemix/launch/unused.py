"""Warnings about flags that have no effect without another one, and about YAML keys that are not flags."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

from ..config import Config, flag_of
from ..errors import suggest
from ..merge.config import MergeConfig
from ..mix.config import MixConfig
from ..preference.config import PreferenceConfig
from ..saliency.config import SaliencyConfig
from .flags import CONFIGS, FLAGS, SCRIPT_FIELDS, dest
from .parsing import Parsed
from .reading import plain
from .request import Request

__all__ = ["warn_of_idle", "warn_of_unknown"]

_logger = logging.getLogger(__name__)

OURS = ("merge", "mixer", "preference", "saliency")  # how most of our names begin


def warn_of_unknown(parsed: Parsed) -> None:
    """Logs keys of a YAML file that look like flags of this library but are not."""
    flags = [dest(name) for name in FLAGS if name not in SCRIPT_FIELDS]
    known = [name for name in flags if name in parsed.defaults]
    for name in sorted(set(parsed.yaml) - set(parsed.defaults)):
        ours = name.startswith(OURS)
        hint = suggest(name, known, cutoff=0.6 if ours else 0.85)
        if ours or hint:
            _logger.warning(f"{name}: no flag has this name{hint}")


def warn_of_idle(parsed: Parsed, request: Request) -> None:
    """Logs flags that have no effect without another one.

    Args:
        parsed: What the script's parser found.
        request: What is asked for.
    """
    for switch, names in _switches(request):
        given = [name for name in _set(parsed, request.training) if name in names]
        idle = sorted(flag_of(FLAGS[name], parsed.ours[name]) for name in given)
        if idle:
            _logger.warning(f"{', '.join(idle)}: no effect without {FLAGS[switch]}")


def _switches(request: Request) -> Iterator[tuple[str, Collection[str]]]:
    """Yields each switch that is off, as a field, with the fields that have no effect without it."""
    if request.merge is None:
        yield "r", {*MergeConfig.options(), "merge_eval"} - {"r"}
    if not request.training:
        return
    if request.mix is None or request.mix.mergemix_alpha == 0:
        names = {*MixConfig.options(), *SaliencyConfig.options()} - {*SCRIPT_FIELDS, "mergemix_alpha"}
        encoder = set() if request.reads else {"encoder", "encoder_checkpoint"}  # a mixer by name may read another one
        # CutMix without MergeMix is this library's where there is a preference.
        ours = {"correct_lam"} if request.mix is not None and request.mixer is None else set()
        yield "mergemix_alpha", (names | encoder) - ours
    if request.preference is None:
        yield "weight", {*PreferenceConfig.options()} - {"weight"}


def _set(parsed: Parsed, training: bool) -> list[str]:
    """Returns the fields that differ from their defaults."""
    configs: tuple[type[Config], ...] = CONFIGS if training else (MergeConfig,)
    return [
        name
        for config in configs
        for name in config.options()
        if name in parsed.ours and plain(parsed.ours[name]) != plain(getattr(config, name))
    ]

"""The settings by subject. Importing a module registers its settings, in the order of the table."""

from ..setting import SETTINGS

from . import (  # isort: skip
    merging,  # noqa: F401
    mixing,  # noqa: F401
    training,  # noqa: F401
    distil,  # noqa: F401
    encoder,  # noqa: F401
    config,  # noqa: F401
    resume,  # noqa: F401
    distributed,  # noqa: F401
    scripts,  # noqa: F401
    stop,  # noqa: F401
    refusals,  # noqa: F401
)

__all__ = ["SETTINGS"]

"""For all tests here."""

from .made import frozen

__all__ = ["frozen"]

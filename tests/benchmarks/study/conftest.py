"""The task of all tests here."""

from .made import stripes

__all__ = ["stripes"]

"""The task that all tests in this folder use."""

from .made import stripes

__all__ = ["stripes"]

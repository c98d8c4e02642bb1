"""Fixtures for all tests in this folder."""

from .made import frozen

__all__ = ["frozen"]

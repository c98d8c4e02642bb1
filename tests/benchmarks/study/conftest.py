from .made import stripes

__all__ = ["stripes"]

"""Checks patch, forward, backward, saliency and unpatch on every plain transformer of timm, small: `make census`.

It takes minutes, so it is a program (``python -m tools.census``) and not a part of the tests.
"""

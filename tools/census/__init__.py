"""Every plain transformer of timm, made small, through patch, forward, backward, saliency and unpatch: `make census`.

It takes minutes, so it is a program (``python -m tools.census``) and no part of the tests.
"""

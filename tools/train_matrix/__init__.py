"""Runs timm's unmodified train.py with and without the launcher, in many settings: `make test-train`.

It needs a script of timm's (``TIMM_TRAIN_PY``) and takes minutes, so it is a program (``python -m tools.train_matrix``)
and not a part of the tests.
"""

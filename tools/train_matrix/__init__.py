"""timm's own train.py, unmodified, run bare and through the launcher, setting by setting: `make test-train`.

It needs a script of timm's (``TIMM_TRAIN_PY``) and takes minutes, so it is a program (``python -m tools.train_matrix``)
and no part of the tests.
"""

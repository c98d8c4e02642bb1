"""Tests of timm, peft, accelerate and transformers on models patched with r = 0, and unpatched ones: `make test-peers`.

It needs their tests (``TIMM_TESTS``, ``PEFT_TESTS``, ``ACCELERATE_TESTS``, ``TRANSFORMERS_TESTS``: folders) and takes
minutes to hours, so it is a program (``python -m tools.peers``) and no part of the tests.
"""

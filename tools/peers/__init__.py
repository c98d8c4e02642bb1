"""Runs tests of timm, peft, accelerate and transformers on unpatched and r=0 patched models: `make test-peers`.

It needs their tests (``TIMM_TESTS``, ``PEFT_TESTS``, ``ACCELERATE_TESTS``, ``TRANSFORMERS_TESTS``: folders) and takes
minutes to hours, so it is a program (``python -m tools.peers``) and not a part of the tests.
"""

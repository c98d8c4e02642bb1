"""Interrupts operations that change or read a model at random moments: `make interrupts`.

It takes minutes, so it is a program (``python -m tools.interrupts``) and not a part of the tests.
"""

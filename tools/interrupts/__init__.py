"""Interrupts at random moments of what changes a model, or reads from it: `make interrupts`.

It takes minutes, so it is a program (``python -m tools.interrupts``) and no part of the tests.
"""

"""Runs threads and tasks that share one model of each family: `make stress`.

It takes minutes, so it is a program (``python -m tools.stress``) and not a part of the tests.
"""

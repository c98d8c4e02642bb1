"""Benchmarks of the cost and the gains of the library: speed tables and comparisons of trainings, with records."""

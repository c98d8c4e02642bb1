"""Benchmarks: interleaved steps in one process, as ratios. Run them by ``python -m benchmarks.speed``."""

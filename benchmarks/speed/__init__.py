"""Speed ratios of steps that are interleaved in one process. Run with ``python -m benchmarks.speed``."""

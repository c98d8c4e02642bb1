"""Benchmarks: interleaved steps in one process, as ratios. Run them by ``timm-mergemix bench``."""

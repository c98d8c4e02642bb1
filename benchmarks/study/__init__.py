"""Does it train better? Methods x tasks x seeds, measured alike; ``python -m benchmarks.study``."""

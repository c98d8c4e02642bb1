"""Does MergeMix train better models? Compares methods on tasks and seeds: ``python -m benchmarks.study``."""

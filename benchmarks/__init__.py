"""What the library costs and what it gains: speed tables and comparisons of trainings, with their records."""

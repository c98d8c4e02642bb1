"""Token merging: schedule, matching, and the patch of a model."""

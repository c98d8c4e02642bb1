"""Mixing: images -> mask -> mixed batch and targets. Tensor functions that know no model."""

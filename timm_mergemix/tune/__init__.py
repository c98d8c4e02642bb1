"""The r that meets a budget, by interleaved timing on the machine at hand."""

"""A small training loop: data, models, mixing by name, checkpoints that resume exactly, evaluation."""

"""What merging and mixing cost on a GPU, and what can be counted of it without one."""

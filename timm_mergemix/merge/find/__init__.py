"""What can be patched inside a module, or why nothing can."""

"""Language models that read the merged tokens of a vision model, so that images take fewer places in their prompts."""

"""Images -> where a model looks: the one bridge from mixing to merging."""

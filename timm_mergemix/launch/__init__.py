"""Runs timm's own scripts, unmodified, with this library's flags: ``python -m timm_mergemix.launch train.py ...``."""

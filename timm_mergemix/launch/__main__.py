"""``python -m timm_mergemix.launch SCRIPT ...``, also under torchrun."""

# Data loader workers that are spawned import this file again: everything is imported where it is needed.
if __name__ == "__main__":
    import sys

    from .script import main

    sys.exit(main())

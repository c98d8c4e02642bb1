"""Long checks that are programs: the census of timm's models, and timm's train.py in many settings."""

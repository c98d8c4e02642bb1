"""Long checks that are programs: the census of timm's models, timm's train.py in many settings, threads, interrupts."""

"""Long-running checks, each a program: of timm's models and train.py, of threads, of interrupts, and others."""

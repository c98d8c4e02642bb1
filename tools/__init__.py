"""Long checks that are programs: of timm's models and train.py, of threads and interrupts, by other packages' tests."""

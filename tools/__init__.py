"""Long checks that are programs: of timm's models and its train.py, of threads and interrupts, by other packages' tests."""

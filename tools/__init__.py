<<<<<<< HEAD
"""Long checks that are programs: the census of timm's models, timm's train.py in many settings, threads, interrupts."""
=======
"""Long checks that are programs: of timm's models, of its train.py, and by the tests of other packages."""
>>>>>>> 8b7e12b (Run the tests of timm, peft and accelerate on models patched with r=0 (make test-peers))

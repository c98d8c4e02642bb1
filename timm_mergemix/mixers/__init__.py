"""Ways to mix a batch, as classes and by name: MergeMix, Mixup and CutMix, ResizeMix."""

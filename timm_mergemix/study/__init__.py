"""Does it train better? Methods x tasks x seeds, measured alike; ``timm-mergemix bench --train``."""

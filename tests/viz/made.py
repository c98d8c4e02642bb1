"""Pictures as arrays."""

from io import BytesIO

import matplotlib.figure
import numpy as np
from PIL import Image


def draw(figure: matplotlib.figure.Figure) -> np.ndarray:
    """The pixels of the saved picture."""
    buffer = BytesIO()
    figure.savefig(buffer)
    return np.asarray(Image.open(buffer).convert("RGB"))

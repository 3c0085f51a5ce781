"""What is laid over an image; pixels."""

import cv2
import numpy as np
from jaxtyping import Float

from ocr_model.visualize.figures import Pixels

Heatmap = Float[np.ndarray, "map_height map_width"]


def overlay_heatmap(image: Pixels, heat: Heatmap, *, full: float | None = None) -> Pixels:
    """Lay a heatmap over an image of any size; `full` is the brightest value, or its largest."""
    height, width = image.shape[:2]
    large = cv2.resize(heat.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    level = np.clip(large / max(float(heat.max()) if full is None else full, 1e-9), 0, 1)
    coloured = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    opacity = 0.8 * level[..., None]  # the image stays visible where the heat is low
    blended: np.ndarray = grey * (1 - opacity) + cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB) * opacity
    return blended.astype(np.uint8)


def overlay_quads(
    image: Pixels,
    quads: Float[np.ndarray, "quads 4 2"],
    *,
    colour: tuple[int, int, int] = (220, 40, 30),
) -> Pixels:
    """Draw quads over an image; the edge from the upper left to the upper right is thicker."""
    drawn = image.copy()
    corners = (quads * 16).round().astype(np.int32)  # in sixteenths of a pixel
    for quad in corners:
        cv2.polylines(drawn, [quad], True, colour, 1, cv2.LINE_AA, 4)
        cv2.polylines(drawn, [quad[:2]], False, colour, 2, cv2.LINE_AA, 4)
    return drawn

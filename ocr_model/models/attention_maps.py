"""Where a model looked while it read a word, as arrays over the image and as a picture."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float

from ocr_model.charset import BLANK, Charset
from ocr_model.decoding.options import GREEDY, DecodeOptions
from ocr_model.decoding.readings import Prediction, to_predictions
from ocr_model.image import ImageGeometry, Pixels, fit_image
from ocr_model.models.interface import RecognizerModel

Heatmaps = Float[np.ndarray, "chars height width"]
"""One per character of the text, over the pixels of the original image."""


@dataclass(frozen=True)
class AttentionMaps:
    """A word, its reading, and where its characters were seen."""

    image: Pixels
    """As it was given, upright and in RGB."""
    prediction: Prediction
    weights: Float[np.ndarray, "layers heads chars map_height map_width"] | None
    """Of a decoder's cross-attention; each character's sum to 1 by layer and head, padding aside.
    None of a model that reads by CTC."""
    frames: Float[np.ndarray, "time classes"] | None
    """Probabilities of a CTC model's columns; None of a decoder."""
    columns_used: float
    """Columns of the maps that the image fills; the last may be filled in part."""
    class_ids: tuple[int, ...]
    """Of the text's characters."""

    def per_char(self) -> Heatmaps:
        """Return a map per character: the mean over layers and heads, or a class's probability."""
        if self.weights is not None:
            return self._over_image(self.weights.mean((0, 1)))
        assert self.frames is not None
        return self._over_image(self.frames[:, list(self.class_ids)].T[:, None])

    def mean(self) -> Float[np.ndarray, "height width"]:
        """Return the mean over characters; zeros of an empty text."""
        return self.sum() / max(1, len(self.prediction.text))

    def sum(self) -> Float[np.ndarray, "height width"]:
        """Return the sum over characters: how much of all attention a place got."""
        total: Float[np.ndarray, "height width"] = self.per_char().sum(0)
        return total

    def picture(self) -> bytes:
        """Draw it, as PNG: image, mean, sum and a map per character; of CTC its frames."""
        from ocr_model.visualize.attention import (  # noqa: PLC0415  # slow, and readers draw none
            draw_attention,
            draw_frames,
        )

        if self.weights is not None:
            return draw_attention(self.image, self.prediction.text, self.per_char())
        assert self.frames is not None
        rows = list(dict.fromkeys([*self.class_ids, BLANK]))
        names = dict(zip(self.class_ids, self.prediction.text, strict=True)) | {BLANK: "blank"}
        return draw_frames(
            self.image,
            self.frames[:, rows],
            [names[row] for row in rows],
            columns_used=self.columns_used,
        )

    def _over_image(self, maps: Float[np.ndarray, "chars map_height map_width"]) -> Heatmaps:
        """Scale maps to the image, whose right edge may lie within their last column."""
        height, width = self.image.shape[:2]
        full = max(width, round(width * maps.shape[2] / self.columns_used))
        scaled = np.zeros((len(maps), height, width), np.float32)
        for heatmap, plane in zip(scaled, maps, strict=True):
            heatmap[:] = cv2.resize(plane.astype(np.float32), (full, height))[:, :width]
        return scaled


@torch.no_grad()
def read_with_attention(
    model: RecognizerModel,
    charset: Charset,
    geometry: ImageGeometry,
    image: Pixels,
    *,
    max_chars: int,
    options: DecodeOptions = GREEDY,
) -> AttentionMaps:
    """Read one upright word as a whole, squeezed if it is too wide, and keep what was looked at.

    Args:
        model: On any device, in evaluation mode.
        charset: What its class ids mean.
        geometry: Of its input.
        image: Decoded pixels.
        max_chars: Longest reading.
        options: For decoding, which is greedy here.
    """
    fitted, content_width = fit_image(image, geometry)
    device = next(model.parameters()).device
    features = model.encode(
        torch.from_numpy(fitted)[None].to(device), torch.tensor([content_width], device=device)
    )
    readings = model.decode(features, max_chars=max_chars, options=options, with_attention=True)
    _, map_width = features.map_size
    pixels_per_column = fitted.shape[1] / map_width
    num_columns = int((~features.is_padding[0, :map_width]).sum())
    weights = frames = None
    if readings.attention is not None:
        weights = readings.attention[0].float().unflatten(-1, features.map_size)
        weights = weights[..., :num_columns].cpu().numpy()
    elif readings.frames is not None:
        frames = readings.frames[0, :num_columns].float().cpu().numpy()
    length = int(readings.num_chars[0])
    return AttentionMaps(
        image,
        to_predictions(readings, charset)[0],
        None if weights is None else weights[:, :, :length],
        frames,
        min(float(num_columns), content_width / pixels_per_column),
        tuple(readings.class_ids[0, :length].tolist()),
    )

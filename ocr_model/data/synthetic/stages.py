"""The stages of the word renderer: their settings, and what they draw of letters."""

import math

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from ocr_model.config import Config
from ocr_model.data.draws import Number, Random, between, happens, whole
from ocr_model.data.synthetic.degrade import DegradeConfig
from ocr_model.data.synthetic.fonts import EM_PIXELS, FontsConfig, Mask
from ocr_model.data.synthetic.lettering import cast_shadow, change_weight, outline, print_dots
from ocr_model.data.synthetic.warp import Bend

LAYER_MARGIN = 10
"""Pixels of a mask around its ink, for borders and shadows."""


class WeightConfig(Config):
    """Strokes thicker or thinner than the face has them."""

    probability: float = Field(0.0, ge=0, le=1)
    """Off: in training it taught nothing about real words (docs/benchmarks.md)."""
    amount: float = Field(0.8, ge=0, le=1)

    def change(self, ink: Mask, rng: Random) -> Mask:
        """Return the ink, perhaps of another weight."""
        if not happens(rng, self.probability):
            return ink
        return change_weight(ink, between(rng, -1, 1) * self.amount)


class DotsConfig(Config):
    """Letters of dots, as on receipts and tickets."""

    probability: float = Field(0.0, ge=0, le=1)
    """Off: signs have none."""
    finest: int = Field(3, ge=2)
    coarsest: int = Field(5, ge=2, le=8)
    """Pixels from dot to dot, where capitals are 34 pixels high."""

    @model_validator(mode="after")
    def _is_in_order(self) -> "DotsConfig":
        if self.finest > self.coarsest:
            raise ValueError(f"finest is {self.finest}, above coarsest ({self.coarsest})")
        return self

    def change(self, ink: Mask, rng: Random) -> Mask:
        """Return the ink, perhaps as dots."""
        if not self.probability or not happens(rng, self.probability):
            return ink
        pitch = self.finest + whole(rng, self.coarsest - self.finest + 1)
        # From dots that stand apart, with as little ink as `print_dots` lets pass, to dots that run
        # into each other; on the diagonals gaps are left, which close at 0.71. In steps, as each
        # shape of a dot is kept.
        return print_dots(ink, pitch, radius=0.4 + 0.05 * whole(rng, 6))


class TrackingConfig(Config):
    """Space between characters beyond the face's own, in em."""

    probability: float = Field(0.5, ge=0, le=1)
    tightest: float = Field(-0.04, ge=-0.2, le=0)
    widest: float = Field(0.25, ge=0, le=2)

    def draw(self, rng: Random) -> float:
        """Return pixels at `EM_PIXELS`."""
        if not happens(rng, self.probability):
            return 0.0
        # Most signs are set tight: the square favours small amounts.
        return EM_PIXELS * (self.tightest + (self.widest - self.tightest) * rng.random() ** 2)


class CurveConfig(Config):
    """Baseline along an arc, up or down."""

    probability: float = Field(0.15, ge=0, le=1)
    degrees: NonNegativeFloat = Field(60.0, lt=180)
    """Angle between the first and the last letter of the hardest words."""

    def draw(
        self,
        ink_box: tuple[Number, Number, Number, Number],
        rng: Random,
        *,
        hardness: float | None = None,
    ) -> Bend | None:
        """Return a bend for this share of the angle, or, without one, an even share."""
        if not self.degrees or not happens(rng, self.probability):
            return None
        share = rng.random() if hardness is None else hardness
        left, top, right, bottom = ink_box
        # A bowl needs room above: short words on a narrow arc would overlap themselves.
        most = 0.8 * (right - left) / (bottom - top)
        radius = (right - left) / min(math.radians(max(2.0, share * self.degrees)), most)
        if not happens(rng, 0.5):
            radius = -radius
        return Bend((left + right) / 2, (top + bottom) / 2, radius)


class LayerConfig(Config):
    """A border around the letters, or their shadow."""

    probability: float = Field(0.2, ge=0, le=1)
    pixels: NonNegativeInt = Field(4, le=LAYER_MARGIN)
    """Largest width or distance, where capitals are 34 pixels high."""


class ShadowConfig(LayerConfig):
    """A shadow of single words."""

    probability: float = Field(0.0, ge=0, le=1)
    """Off, as `weight`."""


def draw_layers(ink: Mask, border: LayerConfig, shadow: LayerConfig, rng: Random) -> list[Mask]:
    """Return ink, border and shadow, as far as they are there; the ink comes first."""
    layers = [ink]
    if border.pixels and happens(rng, border.probability):
        layers.append(outline(ink, 1 + whole(rng, border.pixels)))
    if shadow.pixels and happens(rng, shadow.probability):
        layers.append(cast_shadow(layers[-1], shadow.pixels, rng))
    return layers


class DistortionConfig(Config):
    """The one homography: turned, slanted, stretched, seen from the side."""

    probability: float = Field(0.9, ge=0, le=1)
    rotation_degrees: NonNegativeFloat = Field(6.0, le=45)
    shear_degrees: NonNegativeFloat = Field(14.0, le=45)
    stretch: NonNegativeFloat = Field(0.35, lt=1)
    """Share by which words get wider or narrower."""
    perspective: NonNegativeFloat = Field(0.22, lt=0.5)
    """How far a corner moves, as a share of the word's height."""


class CropConfig(Config):
    """How much paper is seen around the ink, as shares of its height; negative cuts into it."""

    least: float = Field(-0.02, ge=-0.2)
    most: float = Field(0.3, ge=0)


class SurfaceConfig(Config):
    """Textures blended into paper and ink."""

    probability: float = Field(0.7, ge=0, le=1)
    strength: float = Field(0.6, ge=0, le=1)
    """Largest share of a texture's own contrast."""
    ink_share: float = Field(0.3, ge=0, le=1)
    """How often the ink gets one, too."""
    photos: str | None = None
    """A folder of photographs to cut the textures from; null: procedural ones."""

    @model_validator(mode="after")
    def _photos_have_effect(self) -> "SurfaceConfig":
        if self.photos is not None and not self.probability:
            raise ValueError("photos has no effect where probability is 0")
        return self


class ClutterConfig(Config):
    """Rules, frames and pieces of other words, as neighbours in a scene leave them in a crop."""

    probability: float = Field(0.2, ge=0, le=1)


class RendererConfig(Config):
    """The stages; each is left out where its probability is 0."""

    difficulty: float = Field(1.0, ge=0, le=1)
    """Scales what makes words hard to read: curve, distortion, surface, and all of `degrade`.
    Each word draws its own hardness evenly between 0 and this."""
    height: PositiveInt = Field(32, ge=8, le=128)
    """Of the pictures, in pixels; the width follows."""
    fonts: FontsConfig = FontsConfig()
    weight: WeightConfig = WeightConfig()
    dots: DotsConfig = DotsConfig()
    tracking: TrackingConfig = TrackingConfig()
    curve: CurveConfig = CurveConfig()
    border: LayerConfig = LayerConfig()
    shadow: ShadowConfig = ShadowConfig()
    palette: bool = True
    """Colours as on real signs and pages; false: any two that differ."""
    distortion: DistortionConfig = DistortionConfig()
    crop: CropConfig = CropConfig()
    surface: SurfaceConfig = SurfaceConfig()
    clutter: ClutterConfig = ClutterConfig()
    degrade: DegradeConfig = DegradeConfig()

"""Which detector and recogniser read pages, and how."""

from typing import Annotated, Literal, assert_never

from pydantic import Field, PositiveFloat, PositiveInt

from ocr_model.config import Config
from ocr_model.detection.boxes import BoxConfig
from ocr_model.detection.compact import CompactDetectorConfig, load_detector
from ocr_model.detection.craft import CraftConfig, CraftDetector
from ocr_model.detection.maps import TextDetector
from ocr_model.detection.rectify import RectifyConfig
from ocr_model.devices import Precision
from ocr_model.exports import Kind
from ocr_model.inference.documents import DocumentConfig


class CompactReaderConfig(CompactDetectorConfig):
    """The project's own detector."""

    name: Literal["compact"] = "compact"
    weights: str
    """Folder of a detector's bundle, as jobs/train_detector.py makes it."""


DetectorConfig = Annotated[CompactReaderConfig | CraftConfig, Field(discriminator="name")]


class PageReaderConfig(Config):
    """A page reader."""

    detector: DetectorConfig
    recognizer: str
    """Folder of a recogniser's bundle."""
    kind: Kind = "torch"
    """How the recogniser is run: `torch`, or one that jobs/export.py has made of it."""
    device: str | None = None
    """Such as `cpu` or `cuda:1`; null: a GPU where there is one."""
    precision: Precision = "auto"
    """Of both networks. auto: half on a GPU, full on a CPU."""
    documents: DocumentConfig = DocumentConfig()
    boxes: BoxConfig | None = None
    """null: the detector's own thresholds."""
    crops: RectifyConfig = RectifyConfig()
    orientation: Literal["any", "upright"] = "any"
    """any: pages that lie on a side or upside down are read too, which costs the reading of some
    words in two or four directions. upright: pages are as they should be."""
    min_confidence: float = Field(0.0, ge=0, le=1)
    """Readings that are less sure are left out."""
    max_words: PositiveInt = 5_000
    """Of a page; where more are found, the surest are read."""
    max_seconds: PositiveFloat | None = None
    """Of a page, on the average of those that are read together: when they are used up, what is
    left is not read, and the page's warnings say how much. null: no limit."""
    pages_at_a_time: PositiveInt = 8
    """Pages whose words share batches."""

    def load_detector(self) -> tuple[TextDetector, BoxConfig]:
        """Load the detector, and say with which thresholds its maps are read.

        Raises:
            BundleError: Its weights are missing, incomplete or altered.
            ConfigError: There is no such device here.
        """
        match self.detector:
            case CompactReaderConfig() as settings:
                compact = load_detector(
                    settings.weights, settings, device=self.device, precision=self.precision
                )
                return compact, self.boxes or compact.info.boxes
            case CraftConfig() as settings:
                craft = CraftDetector.load(settings, device=self.device, precision=self.precision)
                return craft, self.boxes or BoxConfig()
            case _:
                assert_never(self.detector)

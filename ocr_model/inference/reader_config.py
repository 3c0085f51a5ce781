"""Which detector and recogniser read pages, and how."""

from typing import Annotated, Literal, assert_never

from pydantic import Field, PositiveFloat, PositiveInt

from ocr_model.config import Config
from ocr_model.detection.compact import CompactDetectorConfig, load_detector
from ocr_model.detection.craft import CraftConfig, CraftDetector
from ocr_model.detection.maps import BoxConfig, TextDetector
from ocr_model.detection.rectify import RectifyConfig
from ocr_model.devices import Precision
from ocr_model.exports import Kind
from ocr_model.inference.documents import DocumentConfig
from ocr_model.inference.options import Orientations, ReadOptions, SecondLook
from ocr_model.weights import DETECTOR, RECOGNIZER
from ocr_model.word_lists import Language


class CompactReaderConfig(CompactDetectorConfig):
    """The project's own detector."""

    name: Literal["compact"] = "compact"
    weights: str = DETECTOR
    """Folder of a detector's bundle, as jobs/train_detector.py makes it, or one in the box."""


DetectorConfig = Annotated[CompactReaderConfig | CraftConfig, Field(discriminator="name")]


class ReadingConfig(Config):
    """How pages are read, with whatever detector and recogniser."""

    documents: DocumentConfig = DocumentConfig()
    boxes: BoxConfig | None = None
    """Thresholds of the detector's maps; those that are not given are the detector's own."""
    crops: RectifyConfig = RectifyConfig()
    orientation: Literal["any", "upright"] = "any"
    """any: pages that lie on a side or upside down are read too; where one does not read surely as
    it lies, some words are read in other directions, and one that lies is searched once more.
    upright: pages are as they should be."""
    min_confidence: float = Field(0.15, ge=0, le=1)
    """Readings that are less sure are left out: mostly dirt, logos and leaves. On development pages
    bag-of-words F1 with 0.1, 0.15, 0.2 was 0.860, 0.861, 0.863 (FUNSD) and 0.813, 0.816, 0.821
    (SROIE), and the recall of words of street views 0.674, 0.663, 0.643, with former
    weights of the recogniser."""
    second_look_below: SecondLook = 0.95
    """Of words, as `ReadOptions` has it; 0: every word is read once."""
    language: Language | None = None
    """Such as `en`: its frequent words are likelier, as `Lexicon.of_language` has it; words that
    are read unsurely (by CTC: all) take several times as long. null: no words are preferred."""
    max_words: PositiveInt = 5_000
    """Of a page; where more are found, the surest are read."""
    max_seconds: PositiveFloat | None = None
    """Of a page, on the average of those that are read together: when they are used up, what is
    left is not read, and the page's warnings say how much. null: no limit."""
    pages_at_a_time: PositiveInt = 8
    """Pages whose words share batches."""

    def word_options(self, orientations: Orientations) -> ReadOptions:
        """Return how words are read."""
        return ReadOptions.of_language(self.language, orientations, self.second_look_below)


AS_USUAL = ReadingConfig()


class PageReaderConfig(ReadingConfig):
    """A page reader; the defaults are the models in the box."""

    detector: DetectorConfig = CompactReaderConfig()
    recognizer: str = RECOGNIZER
    """Folder of a recogniser's bundle, or one in the box."""
    kind: Kind = "torch"
    """How the recogniser is run: `torch`, or one that jobs/export.py has made of it."""
    device: str | None = None
    """Such as `cpu` or `cuda:1`; null: a GPU where there is one."""
    precision: Precision = "auto"
    """Of both networks. auto: bf16 where the device computes in it, else fp16 on a GPU, and fp32 on
    a CPU."""

    def load_detector(self) -> TextDetector:
        """Load the detector.

        Raises:
            BundleError: Its weights are missing, incomplete or altered.
            ConfigError: There is no such device here.
        """
        match self.detector:
            case CompactReaderConfig() as settings:
                return load_detector(
                    settings.weights, settings, device=self.device, precision=self.precision
                )
            case CraftConfig() as settings:
                return CraftDetector.load(settings, device=self.device, precision=self.precision)
            case _:
                assert_never(self.detector)


IN_THE_BOX = PageReaderConfig()

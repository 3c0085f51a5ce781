"""What is read on a page: `Page > Block > Line > Word`, in reading order."""

from dataclasses import dataclass, field

Point = tuple[float, float]
Quad = tuple[Point, Point, Point, Point]
"""Corners as (x, y) in pixels of the original image, clockwise, from where reading begins."""


@dataclass(frozen=True, slots=True)
class Word:
    """What stands between two spaces."""

    text: str
    confidence: float
    """Probability that `text` is right, in [0, 1], as the recogniser was calibrated."""
    char_confidences: tuple[float, ...]
    """One per character."""
    polygon: Quad
    box_confidence: float = 1.0
    """How sure the detector was that there is text, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Line:
    """Words that are read without a break."""

    words: tuple[Word, ...]
    polygon: Quad

    @property
    def text(self) -> str:
        """The words, with a space between two."""
        return " ".join(word.text for word in self.words)

    @property
    def confidence(self) -> float:
        """The mean of the words', each as heavy as it is long."""
        lengths = [max(1, len(word.text)) for word in self.words]
        sums = (n * word.confidence for n, word in zip(lengths, self.words, strict=True))
        return sum(sums) / max(1, sum(lengths))


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that belong together: a paragraph, an address, a cell."""

    lines: tuple[Line, ...]
    polygon: Quad

    @property
    def text(self) -> str:
        """The lines, each on its own."""
        return "\n".join(line.text for line in self.lines)


@dataclass(frozen=True, slots=True)
class Page:
    """All that was read in one image, or why it could not be."""

    width: int
    """Pixels of the original image, as it is shown (EXIF respected)."""
    height: int
    blocks: tuple[Block, ...] = ()
    number: int = 1
    """Of the page in its document, from 1."""
    source: str = ""
    """Where the image came from: a path, an address, or nothing."""
    rotation: int = 0
    """Degrees, 0, 90, 180 or 270, by which the image must be turned clockwise to stand upright."""
    rotation_confidence: float = 0.0
    """How sure `rotation` is, in [0, 1]; 0 where nothing was tried."""
    skew: float = 0.0
    """Degrees, clockwise, by which lines are off the horizontal of the upright page."""
    skew_confidence: float = 0.0
    """The share of words, the longest the heaviest, that run along or across such lines, less
    where they are few, in [0, 1]; below 0.5, `skew` is left at 0."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What each stage took; of a batch, this page's share."""
    warnings: tuple[str, ...] = ()
    """What a limit left out."""
    error: str = ""
    """Why the page was not read, as `reason: detail`; empty where it was."""

    @property
    def text(self) -> str:
        """The whole in reading order, with an empty line between blocks."""
        return "\n\n".join(block.text for block in self.blocks)

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines in reading order."""
        return tuple(line for block in self.blocks for line in block.lines)

    @property
    def words(self) -> tuple[Word, ...]:
        """All words in reading order."""
        return tuple(word for line in self.lines for word in line.words)

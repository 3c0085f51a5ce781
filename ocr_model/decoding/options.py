"""What search may read, how widely it looks, and what it prefers."""

import math
from dataclasses import dataclass

from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from ocr_model.arguments import require_count, require_number
from ocr_model.decoding.lexicon import Trie, require_bonus
from ocr_model.errors import ConfigError


@dataclass(frozen=True, eq=False)
class DecodeOptions:
    """How readings are sought; as it stands, one by one and of all characters.

    Raises:
        ConfigError: A number is out of its range, or a setting would be without effect.
    """

    num_beams: int = 1
    """Prefixes that are kept for each image."""
    length_penalty: float = 0.0
    """0: readings are compared by their probability, which falls with every character; 1: nearly
    by their probability per character. It chooses and does not alter the confidence."""
    is_allowed: Bool[Tensor, " classes"] | None = None
    """Which classes may be written; the others' probability is shared out among these."""
    trie: Trie | None = None
    """Words that may be read, or, with a bonus, that are likelier. Probabilities stay the model's:
    a word that it does not believe in has a low confidence."""
    lexicon_bonus: float | None = None
    """None: nothing but the trie's words is read. Else what they gain in log probability."""
    temperature: float = 1.0
    """Logits are divided by it; above 1, probabilities are less sure."""

    def __post_init__(self) -> None:
        require_count("num_beams", self.num_beams)
        require_number("length_penalty", self.length_penalty)
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ConfigError(f"temperature must be above 0, got {self.temperature}")
        require_bonus(self.lexicon_bonus)
        if self.lexicon_bonus is not None and self.trie is None:
            raise ConfigError("lexicon_bonus has no effect without a lexicon")
        if self.length_penalty and not self.needs_search:
            raise ConfigError(
                "length_penalty has no effect on one beam: set num_beams to 2 or more"
            )

    @property
    def needs_search(self) -> bool:
        """Whether reading character by character would not do."""
        return self.num_beams > 1 or self.trie is not None

    @property
    def is_hard(self) -> bool:
        """Whether nothing but the trie's words can be read."""
        return self.trie is not None and self.lexicon_bonus is None

    @property
    def sure_from(self) -> float:
        """Confidence from which on a greedy reading is the one that search would look for.

        All others together have the rest of the probability, and gain at most the bonus. Above 1
        where that is not so.
        """
        if self.is_hard or self.length_penalty:
            return math.inf
        return 1 / (1 + math.exp(-(self.lexicon_bonus or 0.0)))

    def length_divisor(self, num_chars: Shaped[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
        """Return what a log probability is divided by; at least 1 from the first character on.

        Source: arXiv:1609.08144, section 7; our length is without the end.
        """
        return ((5 + num_chars) / 6) ** self.length_penalty


GREEDY = DecodeOptions()

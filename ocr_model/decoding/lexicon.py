"""Words that a reading may be, or is likelier to be: a list, and the trie that search walks."""

import reprlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from string import capwords

import numpy as np
import torch
from jaxtyping import Bool, Int, Integer, Shaped
from torch import Tensor

from ocr_model.arguments import is_number, require_count, require_type
from ocr_model.charset import PAD, SPECIAL_TOKENS, Charset
from ocr_model.errors import ConfigError
from ocr_model.word_lists import frequent_words

OUTSIDE = -1
"""The state of a row whose characters begin no word; it stays there."""

_NUM_CODE_POINTS = 0x110000
_MOST_NAMED = 20  # characters in a message


@dataclass(frozen=True)
class Lexicon:
    """Words, spelt as the model's labels are."""

    words: Collection[str]
    """A list or a set; kept as a tuple."""
    any_case: bool = False
    """Also take each word in lower case, with capital initials, and in capitals."""
    bonus: float | None = None
    """None: nothing else can be read. Else what a reading among the words gains in log probability:
    it wins against likelier ones up to `exp(bonus)` times as likely."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", _as_words(self.words))
        require_type("any_case", self.any_case, bool)
        require_bonus(self.bonus)

    @classmethod
    def from_file(
        cls, path: str | Path, *, any_case: bool = False, bonus: float | None = None
    ) -> "Lexicon":
        """Read UTF-8 text of one entry per line; blank lines and blanks around entries are dropped.

        Raises:
            ConfigError: The file is missing, is not UTF-8 or has no entry; `bonus` is negative or
                not finite.
        """
        try:
            text = Path(path).expanduser().read_text(encoding="utf-8-sig")
        except OSError as error:
            raise ConfigError(f"lexicon {path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"lexicon {path} is not UTF-8 (byte {error.start}); save it as UTF-8"
            ) from error
        words = tuple(filter(None, map(str.strip, text.split("\n"))))
        if not words:
            raise ConfigError(f"lexicon {path} has no words; it needs one per line")
        return cls(words, any_case, bonus)

    @classmethod
    def of_language(
        cls, language: str, *, num_words: int = 30_000, bonus: float = 2.0
    ) -> "Lexicon":
        """Make the most frequent words of a language, in any case, likelier than other texts.

        Args:
            language: As wordfreq names it, such as `en` or `de`.
            num_words: How many; of one letter none.
            bonus: What they gain in log probability.

        Raises:
            ConfigError: There is no list of the language; a number is out of its range.
        """
        require_count("num_words", num_words)
        words = [word for word in frequent_words(language, num_words) if len(word) > 1]
        return cls(words, any_case=True, bonus=bonus)

    def forms(self) -> Iterator[str]:
        """Yield every spelling; one may come several times."""
        yield from self.words
        if self.any_case:
            for word in self.words:
                yield word.lower()
                yield capwords(word, " ")
                yield word.upper()


@dataclass(frozen=True, eq=False)
class Trie:
    """A lexicon as a tree of class ids, in flat tensors; walked by many rows at a time.

    A state is a node, counted breadth first from the root, 0, so that the children of a node are
    neighbours; or it is `OUTSIDE`. 9 bytes per node: 37 MB for a million made-up words of 3 to 13
    letters.
    """

    first_child: Int[Tensor, " nodes_and_one"]
    """Children of node `n` are `first_child[n]` up to, without it, `first_child[n + 1]`."""
    class_of: Int[Tensor, " nodes"]
    """Of the character that leads to a node; `<PAD>` at the root."""
    ends_word: Bool[Tensor, " nodes"]
    num_classes: int
    most_children: int
    num_words: int
    """Different spellings."""
    num_left_out: int
    """Spellings that cannot be written."""

    @classmethod
    def compile(
        cls,
        lexicon: Lexicon,
        charset: Charset,
        *,
        max_chars: int | None = None,
        is_allowed: Bool[Tensor, " classes"] | None = None,
    ) -> "Trie":
        """Build the tree on the CPU; 2 s for a million words.

        Args:
            lexicon: Its words; spellings that cannot be written are left out and counted.
            charset: Of the model.
            max_chars: Longest reading; None: any.
            is_allowed: Which classes may be written; None: all.

        Raises:
            ConfigError: No word is left; the message names the missing characters.
        """
        writable = charset.characters
        if is_allowed is not None:
            chosen = is_allowed[len(SPECIAL_TOKENS) :].tolist()
            writable = "".join(c for c, wanted in zip(writable, chosen, strict=True) if wanted)
        spellings = set(lexicon.forms())
        longest = max_chars if max_chars is not None else _NUM_CODE_POINTS
        can_write = frozenset(writable).issuperset
        words = sorted(word for word in spellings if len(word) <= longest and can_write(word))
        if not words:
            raise ConfigError(_nothing_left(spellings, writable, max_chars))
        class_of, parents, ends_word = _grow(words, charset)
        num_children = np.bincount(parents, minlength=len(class_of))
        first_child = np.concatenate([[0], num_children.cumsum()]) + 1  # the root is nobody's
        return cls(
            torch.from_numpy(first_child.astype(np.int32)),
            torch.from_numpy(class_of),
            torch.from_numpy(ends_word),
            num_classes=charset.num_classes,
            most_children=int(num_children.max()),
            num_words=len(words),
            num_left_out=len(spellings) - len(words),
        )

    def to(self, device: torch.device | str) -> "Trie":
        """Return the same tree on `device`."""
        return replace(
            self,
            first_child=self.first_child.to(device),
            class_of=self.class_of.to(device),
            ends_word=self.ends_word.to(device),
        )

    def start(self, num_rows: int) -> Int[Tensor, " rows"]:
        """Return the state before the first character."""
        return torch.zeros(num_rows, dtype=torch.long, device=self.class_of.device)

    def children(self, states: Int[Tensor, " rows"]) -> Int[Tensor, "rows classes"]:
        """Return the state after each class, `OUTSIDE` where it goes on to no word."""
        nodes = self._child_nodes(states)
        after = nodes.new_full((len(states), self.num_classes), OUTSIDE)
        # What is no child has the root's class, which is no character's.
        return after.scatter_(1, self._classes(nodes), nodes)

    def may_follow(self, states: Int[Tensor, " rows"]) -> Bool[Tensor, "rows classes"]:
        """Return which characters go on to a word; not whether the word may end here."""
        return self.children(states) != OUTSIDE

    def advance(
        self, states: Int[Tensor, " rows"], class_ids: Int[Tensor, " rows"]
    ) -> Int[Tensor, " rows"]:
        """Return the state after one more character; `OUTSIDE` once no word begins so."""
        nodes = self._child_nodes(states)
        is_taken = (self._classes(nodes) == class_ids[:, None]) & (nodes != OUTSIDE)
        return nodes.masked_fill(~is_taken, OUTSIDE).amax(1)

    def is_word(self, states: Shaped[Tensor, "*rows"]) -> Bool[Tensor, "*rows"]:
        """Return whether the characters so far are a word."""
        return self.ends_word[states.clamp(min=0)] & (states != OUTSIDE)

    def _child_nodes(self, states: Int[Tensor, " rows"]) -> Int[Tensor, "rows children"]:
        """Return the children, padded on the right with `OUTSIDE`."""
        nodes = states.clamp(min=0)
        first, behind = self.first_child[nodes], self.first_child[nodes + 1]
        behind = torch.where(states == OUTSIDE, first, behind)
        # A root alone, of the empty word, still has one column, of nothing.
        offsets = torch.arange(max(self.most_children, 1), device=states.device)
        children = first[:, None] + offsets
        return torch.where(children < behind[:, None], children, OUTSIDE)

    def _classes(self, nodes: Int[Tensor, "rows children"]) -> Int[Tensor, "rows children"]:
        return self.class_of[nodes.clamp(min=0)].long()


def require_bonus(bonus: float | None) -> None:
    """Check what is added to the score of a lexicon's words.

    Raises:
        ConfigError: It is negative, not finite or no number.
    """
    if bonus is not None and not (is_number(bonus) and bonus >= 0):
        raise ConfigError(
            f"a lexicon's bonus is a finite log probability of 0 or more, got {bonus!r}; "
            "leave it away to read nothing but the lexicon's words"
        )


def _as_words(given: object) -> tuple[str, ...]:
    if isinstance(given, str | bytes) or not isinstance(given, Collection):
        raise ConfigError(f"a lexicon takes a list of words, got {reprlib.repr(given)}")
    words = tuple(given)
    if not words:
        raise ConfigError("a lexicon needs words, got none")
    strange = next((word for word in words if not isinstance(word, str)), "")
    require_type("a lexicon's word", strange, str)
    return words


def _grow(
    words: list[str], charset: Charset
) -> tuple[
    Integer[np.ndarray, " nodes"], Integer[np.ndarray, " children"], Bool[np.ndarray, " nodes"]
]:
    """Return each node's class, each but the root's parent, and which nodes end a word.

    One pass per depth over the sorted words that are so long: as sorted words with a common prefix
    are neighbours, a node begins where the parent or the character changes.
    """
    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    starts = lengths.cumsum() - lengths
    class_ids = _encode("".join(words), charset)
    node_of = np.zeros(len(words), dtype=np.int32)  # of a word's first `depth` characters
    rows = np.arange(len(words))
    classes = [np.array([PAD], dtype=np.int32)]
    parents: list[Integer[np.ndarray, " nodes"]] = [np.empty(0, dtype=np.int32)]
    num_nodes = 1
    for depth in range(int(lengths.max())):
        rows = rows[lengths[rows] > depth]
        parent, newest = node_of[rows], class_ids[starts[rows] + depth]
        is_new = np.ones(len(rows), dtype=np.bool_)
        is_new[1:] = (parent[1:] != parent[:-1]) | (newest[1:] != newest[:-1])
        classes.append(newest[is_new])
        parents.append(parent[is_new])
        node_of[rows] = num_nodes - 1 + is_new.cumsum()
        num_nodes += len(classes[-1])
    ends_word = np.zeros(num_nodes, dtype=np.bool_)
    ends_word[node_of] = True
    return np.concatenate(classes), np.concatenate(parents), ends_word


def _encode(text: str, charset: Charset) -> Integer[np.ndarray, " chars"]:
    """Return class ids of a text that may be a hundred million characters long."""
    id_of = np.full(_NUM_CODE_POINTS, PAD, dtype=np.int32)
    id_of[_code_points(charset.characters)] = charset.encode(charset.characters)
    class_ids: Integer[np.ndarray, " chars"] = id_of[_code_points(text)]
    return class_ids


def _code_points(text: str) -> Integer[np.ndarray, " chars"]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _nothing_left(spellings: set[str], writable: str, max_chars: int | None) -> str:
    missing = sorted(set().union(*spellings) - set(writable))
    named = " ".join(f"{c!r} (U+{ord(c):04X})" for c in missing[:_MOST_NAMED])
    if len(missing) > _MOST_NAMED:
        named += f" and {len(missing) - _MOST_NAMED} more"
    reasons = [f"characters that cannot be written: {named}"] if missing else []
    if max_chars is not None and any(len(word) > max_chars for word in spellings):
        reasons.append(f"words longer than {max_chars} characters")
    return f"none of the lexicon's {len(spellings)} words can be read: {'; '.join(reasons)}"

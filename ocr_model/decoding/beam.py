"""Beam search over a decoder that writes character by character."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ocr_model.charset import EOS, PAD, SOS
from ocr_model.decoding.autoregressive import Writer, forbidding
from ocr_model.decoding.lexicon import OUTSIDE
from ocr_model.decoding.options import DecodeOptions
from ocr_model.decoding.readings import Readings

_NEVER = float("-inf")


def decode_by_beam(
    writer: Writer,
    *,
    batch_size: int,
    max_chars: int,
    device: torch.device,
    options: DecodeOptions,
) -> Readings:
    """Keep the likeliest prefixes of each image until none can beat its best whole reading.

    Confidences are those of `decode_greedily`, whose readings one beam without a lexicon gives
    again: the model's probability, whatever chose the reading. A prefix that ends takes its place
    among the `num_beams` of that step only. Rows whose reading can no longer be beaten are dropped;
    on a GPU each step waits for the device. A lexicon's bonus counts at the end of a word:
    with few beams, its beginning may be lost before.

    Args:
        writer: Has one row per image; gets one per prefix.
        batch_size: Number of images.
        max_chars: Longest reading.
        device: Of the writer, and of the tensors in `options`.
        options: What may be read, how many prefixes are kept, what is preferred.

    Returns:
        Readings, empty and of confidence 0 where nothing may be read.

    Source: arXiv:1609.08144, section 7, without its coverage penalty; the bonus is added where that
    would be, after the division by the length.
    """
    prefixes = _Prefixes.start(batch_size, max_chars, device)
    best = _Best.none(batch_size, max_chars, device)
    attention: list[Tensor] = []
    forbidden = None
    for position in range(max_chars + 1):
        logits, weights = writer.step(prefixes.newest[:, None], position)
        if weights is not None:
            attention.append(weights)
        if forbidden is None:
            forbidden = forbidding(logits, options.is_allowed)
        logits = logits.float() / options.temperature + forbidden
        scores = _scores(logits, prefixes, options, is_full=position == max_chars)
        choice = _choose(scores, prefixes, batch_size, options)
        prefixes = _extend(prefixes, choice, logits, position, options)
        has_ended = prefixes.newest == EOS
        best.update(prefixes.take(has_ended.nonzero()[:, 0]), position, options)
        may_win = _bounds(prefixes, max_chars, options) > best.score[prefixes.image]
        going_on = (~has_ended & may_win).nonzero()[:, 0]
        if not len(going_on):
            break
        prefixes = prefixes.take(going_on)
        parents = choice.parent[going_on]
        if not torch.equal(parents, torch.arange(len(logits), device=device)):
            writer.select(parents)
    return best.readings(attention)


@dataclass
class _Prefixes:
    """Beginnings of readings, some for each image, one writer's row each."""

    image: Int[Tensor, " rows"]
    place: Int[Tensor, " rows"]
    """Among those of the image, below `num_beams`."""
    newest: Int[Tensor, " rows"]
    log_prob: Float[Tensor, " rows"]
    confidence: Float[Tensor, " rows"]
    """The same, multiplied as greedy reading does; it may become 0 in a long word."""
    state: Int[Tensor, " rows"]
    """In the trie."""
    class_ids: Int[Tensor, "rows max_chars"]
    char_confidences: Float[Tensor, "rows max_chars"]
    source: Int[Tensor, "rows max_chars"]
    """The writer's row that each character came from, in the step that wrote it."""

    @classmethod
    def start(cls, num_images: int, max_chars: int, device: torch.device) -> "_Prefixes":
        """Return one empty prefix per image."""
        zeros = torch.zeros(num_images, dtype=torch.long, device=device)
        return cls(
            image=torch.arange(num_images, device=device),
            place=zeros,
            newest=torch.full_like(zeros, SOS),
            log_prob=torch.zeros(num_images, device=device),
            confidence=torch.ones(num_images, device=device),
            state=zeros,
            class_ids=torch.full((num_images, max_chars), PAD, dtype=torch.long, device=device),
            char_confidences=torch.ones(num_images, max_chars, device=device),
            source=torch.zeros(num_images, max_chars, dtype=torch.long, device=device),
        )

    def take(self, rows: Int[Tensor, " kept"]) -> "_Prefixes":
        """Return these rows, in this order; one may come several times."""
        return _Prefixes(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass
class _Choice:
    """The likeliest continuations."""

    parent: Int[Tensor, " chosen"]
    place: Int[Tensor, " chosen"]
    newest: Int[Tensor, " chosen"]


@dataclass
class _Best:
    """The best whole reading of each image so far."""

    score: Float[Tensor, " images"]
    num_chars: Int[Tensor, " images"]
    confidence: Float[Tensor, " images"]
    class_ids: Int[Tensor, "images max_chars"]
    char_confidences: Float[Tensor, "images max_chars"]
    source: Int[Tensor, "images max_chars"]

    @classmethod
    def none(cls, num_images: int, max_chars: int, device: torch.device) -> "_Best":
        """Return what everything beats."""
        empty = _Prefixes.start(num_images, max_chars, device)
        return cls(
            score=torch.full((num_images,), _NEVER, device=device),
            num_chars=torch.zeros_like(empty.image),
            confidence=torch.zeros(num_images, device=device),
            class_ids=empty.class_ids,
            char_confidences=empty.char_confidences,
            source=empty.source,
        )

    def update(self, ended: _Prefixes, num_chars: int, options: DecodeOptions) -> None:
        """Take in whole readings of one length where they beat what is here."""
        if not len(ended.image):
            return
        length = ended.log_prob.new_tensor(float(num_chars))
        scores = ended.log_prob / options.length_divisor(length) + _bonus(ended, options)
        of_image = scores.new_full((len(self.score), options.num_beams), _NEVER)
        of_image[ended.image, ended.place] = scores
        row_at = torch.zeros_like(of_image, dtype=torch.long)
        row_at[ended.image, ended.place] = torch.arange(len(scores), device=scores.device)
        highest, place = of_image.max(1)
        images = (highest > self.score).nonzero()[:, 0]
        winners = ended.take(row_at[images, place[images]])
        self.score[images] = highest[images]
        self.num_chars[images] = num_chars
        self.confidence[images] = winners.confidence
        self.class_ids[images] = winners.class_ids
        self.char_confidences[images] = winners.char_confidences
        self.source[images] = winners.source

    def readings(self, attention: list[Tensor]) -> Readings:
        """Return them; `attention` is what each step gave for all its rows."""
        longest = int(self.num_chars.max())
        return Readings(
            self.class_ids[:, :longest],
            self.char_confidences[:, :longest],
            self.num_chars,
            self.confidence,
            self._attention(attention, longest) if attention else None,
        )

    def _attention(
        self, steps: list[Tensor], longest: int
    ) -> Float[Tensor, "images layers heads chars tokens"]:
        _, layers, heads, tokens = steps[0].shape
        gathered = steps[0].new_zeros(len(self.score), layers, heads, longest, tokens)
        for position, weights in enumerate(steps[:longest]):
            images = (self.num_chars > position).nonzero()[:, 0]
            gathered[images, :, :, position] = weights[self.source[images, position]]
        return gathered


def _scores(
    logits: Float[Tensor, "rows classes"],
    prefixes: _Prefixes,
    options: DecodeOptions,
    *,
    is_full: bool,
) -> Float[Tensor, "rows classes"]:
    """Return the score of each prefix with each class behind it; of what may not be, minus inf."""
    scores = logits.log_softmax(-1) + prefixes.log_prob[:, None]
    if is_full:  # no room for more: whatever is likelier, the reading ends here
        scores[:, :EOS] = scores[:, EOS + 1 :] = _NEVER
    if options.trie is not None and options.is_hard:
        may_follow = options.trie.may_follow(prefixes.state)
        may_follow[:, EOS] = options.trie.is_word(prefixes.state)
        scores = scores.masked_fill(~may_follow, _NEVER)
    scores[:, EOS] += _bonus(prefixes, options)
    return scores


def _choose(
    scores: Float[Tensor, "rows classes"],
    prefixes: _Prefixes,
    num_images: int,
    options: DecodeOptions,
) -> _Choice:
    """Return the `num_beams` best continuations of each image, best first, if there are so many."""
    num_beams = options.num_beams
    row_scores, row_classes = _highest(scores, num_beams)
    candidates = scores.new_full((num_images, num_beams, row_scores.shape[1]), _NEVER)
    candidates[prefixes.image, prefixes.place] = row_scores
    chosen_scores, chosen = _highest(candidates.flatten(1), num_beams)
    image, place = (chosen_scores > _NEVER).nonzero(as_tuple=True)
    parent_place = chosen[image, place] // row_scores.shape[1]
    row_at = torch.zeros(num_images, num_beams, dtype=torch.long, device=scores.device)
    row_at[prefixes.image, prefixes.place] = torch.arange(len(scores), device=scores.device)
    parent = row_at[image, parent_place]
    return _Choice(parent, place, row_classes[parent, chosen[image, place] % row_scores.shape[1]])


def _highest(
    scores: Float[Tensor, "rows candidates"], number: int
) -> tuple[Float[Tensor, "rows highest"], Int[Tensor, "rows highest"]]:
    if number == 1:  # of equal ones the first, as greedy reading has it; topk promises nothing
        highest, chosen = scores.max(1, keepdim=True)
    else:
        highest, chosen = scores.topk(min(number, scores.shape[1]))
    return highest, chosen


def _extend(
    prefixes: _Prefixes,
    choice: _Choice,
    logits: Float[Tensor, "rows classes"],
    position: int,
    options: DecodeOptions,
) -> _Prefixes:
    """Return the chosen prefixes, one character longer or ended; those stay in their state."""
    longer = prefixes.take(choice.parent)
    probability = logits.softmax(-1)[choice.parent, choice.newest]
    is_char = choice.newest != EOS
    longer.place, longer.newest = choice.place, choice.newest
    longer.log_prob = longer.log_prob + logits.log_softmax(-1)[choice.parent, choice.newest]
    longer.confidence = longer.confidence * probability
    if options.trie is not None:
        after = options.trie.advance(longer.state, choice.newest)
        longer.state = torch.where(is_char, after, longer.state)
    if position < longer.class_ids.shape[1]:
        longer.class_ids[:, position] = torch.where(is_char, choice.newest, PAD)
        longer.char_confidences[:, position] = torch.where(is_char, probability, 1.0)
        longer.source[:, position] = choice.parent
    return longer


def _bonus(prefixes: _Prefixes, options: DecodeOptions) -> Float[Tensor, " rows"]:
    """Return what ending here gains."""
    if options.trie is None or options.lexicon_bonus is None:
        return torch.zeros_like(prefixes.log_prob)
    return options.trie.is_word(prefixes.state) * options.lexicon_bonus


def _bounds(prefixes: _Prefixes, max_chars: int, options: DecodeOptions) -> Float[Tensor, " rows"]:
    """Return scores that no continuation exceeds: all to come is certain, and a word."""
    longest = prefixes.log_prob.new_tensor(float(max_chars))
    bounds = prefixes.log_prob / options.length_divisor(longest)
    if options.lexicon_bonus is not None:
        bounds = bounds + (prefixes.state != OUTSIDE) * options.lexicon_bonus
    return bounds

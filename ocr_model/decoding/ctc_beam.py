"""Prefix beam search over the columns of connectionist temporal classification."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ocr_model.charset import BLANK, PAD
from ocr_model.decoding.ctc import permitted
from ocr_model.decoding.ctc_alignment import char_confidences
from ocr_model.decoding.options import DecodeOptions
from ocr_model.decoding.readings import Readings

_NEVER = float("-inf")
_HASH_FACTOR = 6364136223846793005  # odd, of high entropy; products wrap at 64 bits


def decode_ctc_by_beam(
    log_probs: Float[Tensor, "batch time classes"], max_chars: int, options: DecodeOptions
) -> Readings:
    """Keep the likeliest prefixes column by column, all alignments of one added up.

    A word's confidence is its probability: the sum over all alignments that kept prefixes have.
    `decode_ctc` takes the product over the best one's runs instead. A character's is, as there, its
    highest probability in the columns where the reading's best alignment has it.

    A hard lexicon keeps one prefix more, the likeliest that is a word: else an image of no word in
    it may end with beginnings only. Readings longer than `max_chars` are not considered, where
    `decode_ctc` cuts them.

    Args:
        log_probs: Over all classes.
        max_chars: Longest reading.
        options: What may be read, how many prefixes are kept, what is preferred; its tensors on the
            device of `log_probs`.

    Returns:
        Readings, empty and of confidence 0 where nothing may be read.

    Source: arXiv:1408.2873, algorithm 1, without its language model; the lexicon is new, the
    length norm arXiv:1609.08144's.
    """
    log_probs = permitted(log_probs.float(), options)
    batch, time, _ = log_probs.shape
    longest = min(max_chars, time)
    prefixes = _Prefixes.start(batch, options.num_beams + options.is_hard, longest, log_probs)
    for column in log_probs.unbind(1):
        prefixes = _read_column(prefixes, column, options)
    scores = _final_scores(prefixes, options)
    highest, best = scores.max(1)
    rows = torch.arange(batch, device=best.device)
    is_read = highest > _NEVER
    num_chars = torch.where(is_read, prefixes.num_chars[rows, best], 0)
    confidences = torch.where(is_read, prefixes.total()[rows, best].exp(), 0.0)
    class_ids = prefixes.class_ids[rows, best, : int(num_chars.max())]
    is_char = torch.arange(class_ids.shape[1], device=best.device) < num_chars[:, None]
    class_ids = torch.where(is_char, class_ids, PAD)
    return Readings(
        class_ids, char_confidences(log_probs, class_ids, num_chars), num_chars, confidences
    )


@dataclass
class _Prefixes:
    """What may have been read so far; a place that is not taken has no probability.

    Different prefixes of an image are told apart by their hashes; that two in a beam of 100 ever
    share one has a chance of about 1 in 10^15 a column.
    """

    ends_blank: Float[Tensor, "batch beams"]
    """Log probability of its alignments that end in a blank."""
    ends_char: Float[Tensor, "batch beams"]
    """The same of those that end in its last character."""
    last: Int[Tensor, "batch beams"]
    """Class of its last character; `<BLANK>` if it has none."""
    num_chars: Int[Tensor, "batch beams"]
    code: Int[Tensor, "batch beams"]
    """Hash of the characters."""
    parent_code: Int[Tensor, "batch beams"]
    """Hash of all but the last."""
    state: Int[Tensor, "batch beams"]
    """In the trie."""
    class_ids: Int[Tensor, "batch beams chars"]

    @classmethod
    def start(cls, batch: int, num_beams: int, chars: int, like: Tensor) -> "_Prefixes":
        """Return the empty prefix, and places that are not taken."""
        zeros = torch.zeros(batch, num_beams, dtype=torch.long, device=like.device)
        never = torch.full_like(zeros, _NEVER, dtype=like.dtype)
        ends_blank = never.clone()
        ends_blank[:, 0] = 0
        nothing = zeros[..., None].expand(-1, -1, chars)
        return cls(ends_blank, never, zeros + BLANK, zeros, zeros, zeros - 1, zeros, nothing + PAD)

    def total(self) -> Float[Tensor, "batch beams"]:
        """Return log probabilities."""
        return torch.logaddexp(self.ends_blank, self.ends_char)


@dataclass
class _Longer:
    """Every prefix with every class behind it."""

    score: Float[Tensor, "batch beams classes"]
    state: Int[Tensor, "batch beams classes"] | None
    """In the trie, if there is a hard one."""


def _read_column(
    prefixes: _Prefixes, column: Float[Tensor, "batch classes"], options: DecodeOptions
) -> _Prefixes:
    """Return the likeliest prefixes one column later."""
    last_score = column.gather(1, prefixes.last)
    ends_blank = prefixes.total() + column[:, BLANK, None]
    ends_char = torch.where(prefixes.num_chars > 0, prefixes.ends_char + last_score, _NEVER)
    longer = _lengthen(prefixes, column, options)
    ends_char = _merge(prefixes, longer, ends_char)
    same = torch.logaddexp(ends_blank, ends_char)
    candidates = torch.cat([same, longer.score.flatten(1)], dim=1)
    scores, chosen = _choose(candidates, prefixes, longer, options)
    num_classes = column.shape[1]
    return _take(prefixes, (ends_blank, ends_char), scores, chosen, num_classes, options)


def _lengthen(
    prefixes: _Prefixes, column: Float[Tensor, "batch classes"], options: DecodeOptions
) -> _Longer:
    """Score every character behind every prefix; the last one again needs a blank between."""
    score = prefixes.total()[..., None] + column[:, None]
    again = prefixes.ends_blank + column.gather(1, prefixes.last)
    score.scatter_(2, prefixes.last[..., None], again[..., None])
    score[..., BLANK] = _NEVER
    is_full = prefixes.num_chars == prefixes.class_ids.shape[2]
    score = score.masked_fill(is_full[..., None], _NEVER)
    if options.trie is None or not options.is_hard:
        return _Longer(score, None)
    state = options.trie.children(prefixes.state.flatten()).view_as(score)
    return _Longer(score.masked_fill(state < 0, _NEVER), state)


def _merge(
    prefixes: _Prefixes, longer: _Longer, ends_char: Float[Tensor, "batch beams"]
) -> Float[Tensor, "batch beams"]:
    """Move what lengthens a prefix into another kept one to that one; return its new scores.

    Changes `longer.score`.
    """
    is_taken = prefixes.total() > _NEVER
    # batch, longer prefix, shorter prefix: whether the one is the other and one character more
    is_parent = prefixes.parent_code[:, :, None] == prefixes.code[:, None]
    is_parent &= prefixes.num_chars[:, :, None] == prefixes.num_chars[:, None] + 1
    is_parent &= is_taken[:, :, None] & is_taken[:, None]
    num_beams = prefixes.last.shape[1]
    newest = prefixes.last[:, None].expand(-1, num_beams, -1)  # batch, shorter, longer
    moved = longer.score.gather(2, newest).transpose(1, 2)  # batch, longer, shorter
    moved = moved.masked_fill(~is_parent, _NEVER).amax(2)  # a prefix has one parent at most
    has_moved = torch.zeros_like(longer.score, dtype=torch.long)
    has_moved.scatter_add_(2, newest, is_parent.transpose(1, 2).long())
    longer.score.masked_fill_(has_moved > 0, _NEVER)
    return torch.logaddexp(ends_char, moved)


def _choose(
    candidates: Float[Tensor, "batch candidates"],
    prefixes: _Prefixes,
    longer: _Longer,
    options: DecodeOptions,
) -> tuple[Float[Tensor, "batch beams"], Int[Tensor, "batch beams"]]:
    """Return which candidates are kept: the best, and with a hard lexicon its best other word."""
    scores, chosen = candidates.topk(options.num_beams)
    if options.trie is None or longer.state is None:
        return scores, chosen
    states = torch.cat([prefixes.state, longer.state.flatten(1)], dim=1)
    is_other_word = options.trie.is_word(states).scatter(1, chosen, value=False)
    word_score, word = candidates.masked_fill(~is_other_word, _NEVER).max(1, keepdim=True)
    return torch.cat([scores, word_score], dim=1), torch.cat([chosen, word], dim=1)


def _take(
    prefixes: _Prefixes,
    same: tuple[Float[Tensor, "batch beams"], Float[Tensor, "batch beams"]],
    scores: Float[Tensor, "batch beams"],
    chosen: Int[Tensor, "batch beams"],
    num_classes: int,
    options: DecodeOptions,
) -> _Prefixes:
    """Return the chosen candidates: `same` prefixes first, then each with each class behind it."""
    num_beams = prefixes.last.shape[1]
    is_longer = chosen >= num_beams
    extension = (chosen - num_beams).clamp(min=0)
    parent = torch.where(is_longer, extension // num_classes, chosen)
    newest = extension % num_classes
    ends_blank, ends_char = (part.gather(1, parent) for part in same)
    is_taken = scores > _NEVER  # the same candidate may be chosen again, without a score
    code, num_chars, state = (
        part.gather(1, parent) for part in (prefixes.code, prefixes.num_chars, prefixes.state)
    )
    chars = prefixes.class_ids.shape[2]
    class_ids = prefixes.class_ids.gather(1, parent[..., None].expand(-1, -1, chars))
    is_newest = torch.arange(chars, device=parent.device) == num_chars[..., None]
    is_newest &= is_longer[..., None]
    if options.trie is not None:
        after = options.trie.advance(state.flatten(), newest.flatten()).view_as(state)
        state = torch.where(is_longer, after, state)
    return _Prefixes(
        ends_blank=torch.where(is_longer | ~is_taken, _NEVER, ends_blank),
        ends_char=torch.where(is_longer | ~is_taken, scores, ends_char),
        last=torch.where(is_longer, newest, prefixes.last.gather(1, parent)),
        num_chars=num_chars + is_longer,
        code=torch.where(is_longer, code * _HASH_FACTOR + newest, code),
        parent_code=torch.where(is_longer, code, prefixes.parent_code.gather(1, parent)),
        state=state,
        class_ids=torch.where(is_newest, newest[..., None], class_ids),
    )


def _final_scores(prefixes: _Prefixes, options: DecodeOptions) -> Float[Tensor, "batch beams"]:
    """Return what whole readings are compared by."""
    scores = prefixes.total() / options.length_divisor(prefixes.num_chars)
    if options.trie is None:
        return scores
    is_word: Bool[Tensor, "batch beams"] = options.trie.is_word(prefixes.state)
    if options.lexicon_bonus is None:
        return scores.masked_fill(~is_word, _NEVER)
    return scores + is_word * options.lexicon_bonus

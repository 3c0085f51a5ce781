"""Many words in parts, which replicas of the recogniser read at the same time."""

from itertools import zip_longest

from .messages import Fault, WordJob, WordsAnswer

FEWEST_WORDS = 33
"""Of a part: fewer are not read so much sooner as they cost more."""
SECONDS_APART = 0.003
"""From one part's call to the next: Ray's router chooses for calls that begin at once before it
counts any, and they meet in one replica."""


def divided(job: WordJob, most_parts: int) -> list[WordJob]:
    """Divide a job in turns: neighbours are often alike, and hard words take twice as long."""
    num_parts = min(most_parts, len(job.images) // FEWEST_WORDS)
    if num_parts < 2:
        return [job]
    return [WordJob(job.images[number::num_parts], job.options) for number in range(num_parts)]


def joined(answers: list[WordsAnswer]) -> WordsAnswer:
    """Put the parts of a job together again; one that failed is the answer to all of it."""
    parts = []
    for answer in answers:
        if isinstance(answer, Fault):
            return answer
        parts.append(answer)
    return [word for words in zip_longest(*parts) for word in words if word is not None]

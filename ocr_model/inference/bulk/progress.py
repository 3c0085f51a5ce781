"""How far an output is, to anybody who can read it; the run itself is not asked."""

from concurrent.futures import ThreadPoolExecutor

from ocr_model.config import Config
from ocr_model.inference.bulk.ledger import Counts, Ledger
from ocr_model.inference.bulk.places import Place
from ocr_model.inference.bulk.plan import Plan, ShardSize, unit_name

_AT_ONCE = 16


class BatchProgress(Config):
    """Of an output, with all runs that wrote to it."""

    done: int
    """Images that were read, or could not be."""
    total: int
    """Images that are listed so far; the listing goes on beside the reading."""
    errors: int
    """Pages, or words, that could not be read."""


def read_progress(place: Place) -> BatchProgress:
    """Count what an output holds, by listings and two small reads for each shard.

    Raises:
        StorageError: The output does not answer.
        ImageError: It may not be read.
        ValueError: It is of no batch run.
    """
    ledger = Ledger(place)
    finished = ledger.done_shards()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        sizes = list(
            pool.map(lambda number: ShardSize.read(place, number), range(Plan(place).num_shards))
        )
    counts = ledger.totals(finished)
    for number, size in enumerate(sizes):
        if number not in finished:
            counts.add(_counts_of_begun(ledger, number, size))
    return BatchProgress(
        done=counts.images, total=sum(size.new for size in sizes), errors=counts.num_errors
    )


def _counts_of_begun(ledger: Ledger, shard: int, size: ShardSize) -> Counts:
    """Count units by their names alone, but those that have errors by their footers too."""
    done = ledger.done_units(shard)
    counts = Counts(images=min(len(done) * size.unit_size, size.images))
    for unit in done & ledger.bad_units(shard):
        counts.errors.update(ledger.counts(unit_name(shard, unit)).errors)
    return counts

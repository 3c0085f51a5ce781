"""A unit from its bytes to its rows in the output, whatever its images do to the process."""

import logging
from collections.abc import Callable, Iterator, Sequence

from ocr_model.errors import OCRError
from ocr_model.inference.bulk.config import BatchConfig
from ocr_model.inference.bulk.fetching import Content
from ocr_model.inference.bulk.isolation import read_apart
from ocr_model.inference.bulk.ledger import Counts, Ledger
from ocr_model.inference.bulk.places import open_place
from ocr_model.inference.bulk.plan import Unit
from ocr_model.inference.bulk.rows import ItemReader, Reading, Row, rows_table
from ocr_model.inference.mortality import alarm

logger = logging.getLogger(__name__)


class Worker:
    """Reads units and writes them down."""

    def __init__(self, config: BatchConfig, load: Callable[[], ItemReader], pickled: bytes) -> None:
        """Load the models.

        Args:
            config: The run's.
            load: Makes what reads.
            pickled: The same function, for child processes.
        """
        self._config, self._pickled = config, pickled
        self._reader = load()
        self._ledger = Ledger(open_place(config.output))

    def do(self, unit: Unit, contents: Sequence[Content]) -> Counts:
        """Read a unit and write it.

        A unit whose reading was begun before, and did not end, is read image by image in a child
        process; so is one whose images raise what they should not.

        Raises:
            StorageError: The output does not take it.
        """
        if self._ledger.begin(unit.name):
            try:
                return self._write(unit, self._read(unit, contents))
            except OCRError:
                raise
            except Exception:  # a border: found out image by image, below
                logger.exception("unit %s is read image by image", unit.name)
        config = self._config
        readings = read_apart(
            unit.items, contents, self._pickled, seconds=config.image_seconds, tries=config.tries
        )
        return self._write(unit, readings)

    def _read(self, unit: Unit, contents: Sequence[Content]) -> Iterator[Reading]:
        """Read all in this process, which ends where nothing comes for too long."""
        together = self._config.reader.pages_at_a_time
        with alarm(self._config.image_seconds * together) as restart:
            for reading in self._reader.read(unit.items, contents):
                restart()
                yield reading

    def _write(self, unit: Unit, readings: Iterator[Reading]) -> Counts:
        rows = list[Row]()
        for reading in readings:
            rows += reading.rows
            for name, content in reading.files:
                self._ledger.place.write(f"files/{name}", content)
        return self._ledger.write(unit.name, rows_table(rows), jsonl=self._config.jsonl)

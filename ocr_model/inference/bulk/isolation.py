"""Images read one by one in a child process, which may die of one without harm to the others."""

import multiprocessing
import pickle
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from ocr_model.errors import OCRError
from ocr_model.inference.bulk.fetching import Content
from ocr_model.inference.bulk.items import Item
from ocr_model.inference.bulk.rows import ItemReader, Reading, error_row
from ocr_model.inference.mortality import alarm, cause_of_death, die_before_the_parent


def read_apart(
    items: Sequence[Item],
    contents: Sequence[Content],
    load: bytes,
    *,
    seconds: float,
    tries: int,
) -> Iterator[Reading]:
    """Read items in their order, each by itself, in a child process.

    Args:
        items: What to read.
        contents: Their bytes, or why there are none.
        load: Makes an ItemReader: a function of no arguments, pickled.
        seconds: What an item may take; what takes longer is a row that says so.
        tries: So often may an item end its process, before it is a row that says so.

    Raises:
        OCRError: The models cannot be loaded.
    """
    child = _Child(load, seconds)
    try:
        for item, content in zip(items, contents, strict=True):
            yield _try(child, item, content, tries)
    finally:
        child.end()


def _try(child: "_Child", item: Item, content: Content, tries: int) -> Reading:
    for _ in range(tries):
        try:
            return child.read(item, content)
        except EOFError:
            code = child.end()
            if code == -signal.SIGALRM:
                detail = f"not read in {child.seconds:g} s"
                return Reading([error_row(item, f"timed_out: {detail}", "")])
    detail = f"{cause_of_death(code)} {tries} times"
    return Reading([error_row(item, f"crashed: the process that read it ended by {detail}", "")])


class _Child:
    """A process that reads one item after the other; begun when it is needed."""

    def __init__(self, load: bytes, seconds: float) -> None:
        self._load, self.seconds = load, seconds
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    def read(self, item: Item, content: Content) -> Reading:
        """Read one.

        Raises:
            EOFError: The process died.
            OCRError: The models cannot be loaded.
        """
        connection = self._connection or self._begin()
        try:
            connection.send((item, content))
            answer = connection.recv()
        except OSError as error:  # a pipe whose other end died says it in either way
            raise EOFError from error
        if isinstance(answer, OCRError):
            raise answer
        assert isinstance(answer, Reading)
        return answer

    def end(self) -> int | None:
        """End the process; return its exit code."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is None:
            return None
        process.join()  # it ends by itself: its pipe is closed, or its alarm goes off
        return process.exitcode

    def _begin(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._load, self.seconds), daemon=True
        )
        self._process.start()
        theirs.close()
        return self._connection


def _serve(connection: Connection, load: bytes, seconds: float) -> None:
    die_before_the_parent()
    with suppress(EOFError):
        try:
            reader: ItemReader = pickle.loads(load)()  # noqa: S301  # of the parent
        except Exception as error:  # noqa: BLE001  # a border: no image is to blame for it
            connection.recv()
            detail = " ".join(f"{type(error).__name__}: {error}".split())
            told = (
                error if isinstance(error, OCRError) else OCRError(f"cannot load models: {detail}")
            )
            connection.send(told)
            return
        while True:
            item, content = connection.recv()
            with alarm(seconds):
                reading = _read(reader, item, content)
            connection.send(reading)


def _read(reader: ItemReader, item: Item, content: Content) -> Reading:
    try:
        (reading,) = reader.read([item], [content])
    except Exception as error:  # noqa: BLE001  # a border: a bad image is data, whatever it raises
        return Reading([error_row(item, f"failed: {type(error).__name__}: {error}", "")])
    return reading

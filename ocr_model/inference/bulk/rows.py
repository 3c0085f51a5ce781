"""What is written of an image: rows of Parquet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from ocr_model.inference.bulk.fetching import Content
from ocr_model.inference.bulk.items import Item

_CORNERS = pa.list_(pa.float32())
WORD = pa.struct(
    [
        ("text", pa.string()),
        ("confidence", pa.float32()),
        ("char_confidences", pa.list_(pa.float32())),
        ("polygon", _CORNERS),
        ("box_confidence", pa.float32()),
        ("block", pa.int32()),
        ("line", pa.int32()),
    ]
)
"""`polygon` is x and y of four corners in pixels, clockwise, from where reading begins; `block` and
`line` count from 0 on the page, in reading order."""

ROWS = pa.schema(
    [
        ("uri", pa.string()),
        ("member", pa.string()),
        ("page", pa.int32()),
        ("error", pa.string()),
        ("text", pa.string()),
        ("confidence", pa.float32()),
        ("words", pa.list_(WORD)),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("rotation", pa.int32()),
        ("skew", pa.float32()),
        ("warnings", pa.list_(pa.string())),
        ("seconds", pa.map_(pa.string(), pa.float32())),
        ("size", pa.int64()),
        ("etag", pa.string()),
        ("model", pa.string()),
        ("read_at", pa.timestamp("ms", "UTC")),
    ]
)
"""`error` is empty where the image was read, else `reason: detail`. `confidence` is that of a word,
or the mean of a page's words, by their lengths. `uri`, `member` and `page` tell rows apart."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """What became of one item."""

    rows: list[Row]
    files: list[tuple[str, bytes]] = field(default_factory=list)
    """Names below `files/`, and contents."""


@runtime_checkable  # for the tests, which check types at run time
class ItemReader(Protocol):
    """Reads items."""

    def read(self, items: Sequence[Item], contents: Sequence[Content]) -> Iterator[Reading]:
        """Read items, in their order; what cannot be read has rows that say why."""


def error_row(item: Item, error: str, model: str) -> Row:
    """Return why an image was not read; `error` is `reason: detail`."""
    return filled_row(item, model, error=error, text="")


def rows_table(rows: list[Row]) -> pa.Table:
    """Return rows as a table of `ROWS`."""
    return pa.Table.from_pylist(rows, ROWS)


def filled_row(item: Item, model: str, **read: Any) -> Row:  # noqa: ANN401  # any column
    """Return a row with what is known of the item; columns that are not given are null."""
    row = {
        "page": 1,
        "uri": clean(item.uri),
        "member": clean(item.member),
        "size": item.size if item.size >= 0 else None,
        "etag": item.etag,
        "model": model,
        "read_at": datetime.now(UTC),
        **read,
    }
    return {**row, "error": clean(row["error"]), "text": clean(row["text"])}


def clean(text: str) -> str:
    """Return text that UTF-8 can hold: a file's name may be none, and half a pair is no text."""
    return text.encode("utf-8", "backslashreplace").decode()

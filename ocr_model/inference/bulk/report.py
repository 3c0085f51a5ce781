"""`report.html`: what a run did, on one page that opens from disk."""

import io
from itertools import islice

from PIL import Image

from ocr_model.image import Pixels
from ocr_model.inference.bulk.fetching import fetch
from ocr_model.inference.bulk.ledger import Ledger
from ocr_model.inference.bulk.manifest import BatchResult, Manifest
from ocr_model.inference.bulk.page_rows import row_page
from ocr_model.inference.bulk.plan import read_shard, unit_name
from ocr_model.inference.bulk.rows import Row, clean
from ocr_model.inference.documents import open_pages
from ocr_model.inference.outputs.overlay import draw_overlay
from ocr_model.visualize.charts import draw_progress
from ocr_model.visualize.report_page import render_page
from ocr_model.visualize.words import draw_contact_sheet

REPORT = "report.html"
_WORDS_SHOWN, _PAGES_SHOWN = 64, 4
_PAGE_WIDTH = 1_400  # pixels
_ERRORS_SHOWN = 20
_RATE = "images per second"

_PAGE = """
{% block title %}Batch OCR: {{ output }}{% endblock %}
{% block content %}
<h1>Batch OCR</h1>
<p><code>{{ input }}</code> → <code>{{ output }}</code>: {{ reason }}.</p>
{{ table(figures, ["", "this run", "all of the output"]) }}
{%- if throughput %}
<h2>Images per second</h2>
{{ picture(throughput, "Images per second over time") }}
{%- endif %}
<h2>What could not be read</h2>
{%- if errors %}
{{ table(errors, ["reason", "rows"]) }}
<p>Each of them is in <code>quarantine/</code>.{% if bad %} Some of this run:{% endif %}</p>
<ul>{% for row in bad %}<li><code>{{ row.uri }}</code> {{ row.error }}</li>{% endfor %}</ul>
{%- else %}
<p>Nothing.</p>
{%- endif %}
{%- if samples %}
<h2>Samples</h2>
{%- for sample in samples %}
{{ picture(sample, "Images and what was read") }}
{%- endfor %}
{%- endif %}
<h2>Settings</h2>
<p>Model: <code>{{ model }}</code></p>
<pre>{{ settings }}</pre>
{% endblock %}
"""


def write_report(manifest: Manifest, result: BatchResult) -> None:
    """Write the page; it shows samples of the last units of the run.

    A run that found nothing left to read leaves the page of the former one.

    Raises:
        StorageError: The output does not take it.
    """
    samples, bad = _samples(manifest, result)
    errors = result.totals.errors.most_common() or result.counts.errors.most_common()
    page = render_page(
        _PAGE,
        input=manifest.config.input,
        output=manifest.place.address,
        reason=result.reason,
        figures=_figures(manifest, result),
        throughput=draw_progress(result.marks, _RATE) if len(result.marks) > 1 else None,
        errors=[(reason, f"{number:,}") for reason, number in errors],
        bad=bad,
        samples=samples,
        model=manifest.model,
        settings=manifest.config.to_yaml(),
    )
    if result.last_units:
        manifest.place.write(REPORT, page)
    else:
        manifest.place.create(REPORT, page)


def _figures(manifest: Manifest, result: BatchResult) -> list[tuple[str, str, str]]:
    counts, totals = result.counts, result.totals
    figures = [
        (name, f"{getattr(counts, name):,}", f"{getattr(totals, name):,}")
        for name in ("images", "pages", "words", "bytes")
    ]
    figures += [
        ("errors", f"{counts.num_errors:,}", f"{totals.num_errors:,}"),
        ("seconds", f"{result.seconds:,.0f}", ""),
        ("machines", f"{result.num_machines}", ""),
        (_RATE, f"{result.images_per_second:.2f}", ""),
    ]
    price, rate = manifest.config.price_per_machine_hour, result.images_per_second
    if price is not None and rate:
        cost = price * result.num_machines / 3_600 / rate * 1e6
        figures.append(("cost of a million images", f"{cost:,.2f}", ""))
    return figures


def _samples(manifest: Manifest, result: BatchResult) -> tuple[list[bytes], list[Row]]:
    """Return pictures of what was read, and rows that were not, of the last units."""
    pictures: list[tuple[Row, Pixels]] = []
    bad: list[Row] = []
    wanted = _PAGES_SHOWN if manifest.config.mode == "pages" else _WORDS_SHOWN
    for shard, unit in result.last_units:
        rows = Ledger(manifest.place).read(unit_name(shard, unit)).to_pylist()
        bad += [row for row in rows if row["error"]]
        share = -(-wanted // len(result.last_units))
        chosen = [row for row in rows if not row["error"] and row["text"]][:share]
        pictures += _pictures(manifest, (shard, unit), chosen)
    pictures = pictures[:wanted]
    if manifest.config.mode == "words" and pictures:
        images, texts = [p for _, p in pictures], [row["text"] for row, _ in pictures]
        return [draw_contact_sheet(images, texts, [None] * len(images))], bad[:_ERRORS_SHOWN]
    return [_overlay(row, pixels) for row, pixels in pictures], bad[:_ERRORS_SHOWN]


def _pictures(
    manifest: Manifest, unit: tuple[int, int], rows: list[Row]
) -> list[tuple[Row, Pixels]]:
    """Fetch the images of some rows of a unit again."""
    config = manifest.config
    items = {
        (clean(item.uri), clean(item.member)): item
        for item in read_shard(manifest.place, unit[0]).items(unit[1])
    }
    chosen = [items[row["uri"], row["member"]] for row in rows]
    contents = (
        fetch(chosen, at_once=8, most_bytes=config.max_image_bytes, column=config.column or "image")
        if chosen
        else []
    )
    found = []
    for row, content in zip(rows, contents, strict=True):
        if isinstance(content, bytes):
            pages = open_pages(content, config.reader.documents)
            page = next((p for p in islice(pages, row["page"]) if p.number == row["page"]), None)
            if page is not None and page.pixels is not None:
                found.append((row, page.pixels))
    return found


def _overlay(row: Row, pixels: Pixels) -> bytes:
    image = Image.open(io.BytesIO(draw_overlay(row_page(row), pixels))).convert("RGB")
    image.thumbnail((_PAGE_WIDTH, _PAGE_WIDTH))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()

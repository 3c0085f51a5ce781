"""`report.html`: what a run did, on one page that opens from disk."""

import base64
import io
from itertools import islice

import jinja2
import numpy as np
from matplotlib.figure import Figure
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
from ocr_model.visualize import draw_contact_sheet

REPORT = "report.html"
_WORDS_SHOWN, _PAGES_SHOWN = 64, 4
_BARS = 60
_PAGE_WIDTH = 1_400  # pixels
_ERRORS_SHOWN = 20

_HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Batch OCR: {{ output }}</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto;
    padding: 0 1rem; }
  img { max-width: 100%; background: white; border-radius: 6px; }
  table { border-collapse: collapse; margin: 1rem 0; }
  th, td { padding: .25rem .9rem .25rem 0; text-align: right; font-variant-numeric: tabular-nums; }
  th:first-child, td:first-child { text-align: left; }
  tr { border-bottom: 1px solid #8884; }
  pre { overflow: auto; padding: 1rem; background: #8882; border-radius: 6px; }
  code { overflow-wrap: anywhere; }
</style>
<h1>Batch OCR</h1>
<p><code>{{ input }}</code> → <code>{{ output }}</code>: {{ reason }}.</p>
<table>
  <tr><th></th><th>this run</th><th>all of the output</th></tr>
  {%- for label, run, all in figures %}
  <tr><td>{{ label }}</td><td>{{ run }}</td><td>{{ all }}</td></tr>
  {%- endfor %}
</table>
{%- if throughput %}
<h2>Images per second</h2>
<img alt="Images per second over time" src="data:image/png;base64,{{ throughput }}">
{%- endif %}
<h2>What could not be read</h2>
{%- if errors %}
<table>
  <tr><th>reason</th><th>rows</th></tr>
  {%- for reason, number in errors %}
  <tr><td>{{ reason }}</td><td>{{ "{:,}".format(number) }}</td></tr>
  {%- endfor %}
</table>
<p>Each of them is in <code>quarantine/</code>. Some of this run:</p>
<ul>{% for row in bad %}<li><code>{{ row.uri }}</code> {{ row.error }}</li>{% endfor %}</ul>
{%- else %}
<p>Nothing.</p>
{%- endif %}
{%- if samples %}
<h2>Samples</h2>
{%- for sample in samples %}
<p><img alt="Images and what was read" src="data:image/png;base64,{{ sample }}"></p>
{%- endfor %}
{%- endif %}
<h2>Settings</h2>
<p>Model: <code>{{ model }}</code></p>
<pre>{{ settings }}</pre>
</html>
"""


def write_report(manifest: Manifest, result: BatchResult) -> None:
    """Write the page; it shows samples of the last units of the run.

    Raises:
        StorageError: The output does not take it.
    """
    samples, bad = _samples(manifest, result)
    template = jinja2.Environment(autoescape=True).from_string(_HTML)
    page = template.render(
        input=manifest.config.input,
        output=manifest.place.address,
        reason=result.reason,
        figures=_figures(manifest, result),
        throughput=_encoded(_draw_throughput(result)) if len(result.marks) > 1 else None,
        errors=result.totals.errors.most_common() or result.counts.errors.most_common(),
        bad=bad,
        samples=[_encoded(sample) for sample in samples],
        model=manifest.model,
        settings=manifest.config.to_yaml(),
    )
    manifest.place.write(REPORT, page.encode())


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
        ("images per second", f"{result.images_per_second:.2f}", ""),
    ]
    price, rate = manifest.config.price_per_machine_hour, result.images_per_second
    if price is not None and rate:
        cost = price * result.num_machines / 3_600 / rate * 1e6
        figures.append(("cost of a million images", f"{cost:,.2f}", ""))
    return figures


def _draw_throughput(result: BatchResult) -> bytes:
    times = np.array([0.0, *(seconds for seconds, _ in result.marks)])
    images = np.array([0, *(images for _, images in result.marks)])
    edges = np.linspace(0, times[-1], min(_BARS, len(times)) + 1)
    rates = np.diff(np.interp(edges, times, images)) / np.diff(edges)
    is_hours = times[-1] > 2 * 3_600
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.stairs(rates, edges / (3_600 if is_hours else 60), fill=True, color="#1a7f37", alpha=0.7)
    axes.set(xlabel="hours" if is_hours else "minutes", ylabel="images per second", ylim=(0, None))
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


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


def _encoded(picture: bytes) -> str:
    return base64.b64encode(picture).decode()

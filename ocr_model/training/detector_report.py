"""The report of a detector's run: curves, and pages with what was found on them."""

import base64
import io

import jinja2
import numpy as np
from PIL import Image

from ocr_model import visualize
from ocr_model.training.console import DETECTOR_COLUMNS, describe_boxes
from ocr_model.training.detection import FoundSample
from ocr_model.training.detector_config import DetectorTrainConfig
from ocr_model.training.loop import TrainResult
from ocr_model.training.report import STYLE
from ocr_model.training.run_folder import RunFolder

_TRUTH = (30, 120, 230)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ name }}: training report</title>
<style>{{ style }}</style>
<h1>{{ name }}</h1>
<p>Ended after epoch {{ rows|length }}: {{ reason }}. Kept: epoch {{ best_epoch }}.</p>
<p>{{ verdict }}</p>
<h2>Curves</h2>
<img alt="Loss, precision, recall and learning rate by epoch" src="{{ curves }}">
<h2>Epochs</h2>
<table>
  <tr>{% for title in titles %}<th>{{ title }}</th>{% endfor %}</tr>
  {%- for row in rows %}
  <tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
  {%- endfor %}
</table>
<h2>Pages</h2>
<p>Blue: what is there. Red: what was found.</p>
{%- for page in pages %}
<p><img alt="A validation page with boxes" src="{{ page }}"></p>
{%- endfor %}
<h2>Settings</h2>
<pre>{{ settings }}</pre>
</html>
"""


def write_detector_report(
    folder: RunFolder, config: DetectorTrainConfig, result: TrainResult[FoundSample]
) -> None:
    """Write `report/index.html` and its pictures into the run's folder."""
    history, metrics = result.progress.history, result.metrics
    pictures = {"curves.png": visualize.draw_curves(history)}
    for number, sample in enumerate(result.samples):
        pictures[f"page_{number}.png"] = _overlay(sample)
    for name, content in pictures.items():
        folder.write(f"report/{name}", content)
    urls = {
        name: f"data:image/png;base64,{base64.b64encode(content).decode()}"
        for name, content in pictures.items()
    }
    page = (
        jinja2.Environment(autoescape=True)
        .from_string(_PAGE)
        .render(
            name=config.run.name,
            style=STYLE,
            reason=result.progress.finished,
            best_epoch=result.progress.best_epoch + 1,
            verdict=describe_boxes(metrics),
            curves=urls.pop("curves.png"),
            titles=[title for title, _, _ in DETECTOR_COLUMNS],
            rows=[
                [form.format(entry[key]) for _, key, form in DETECTOR_COLUMNS] for entry in history
            ],
            pages=list(urls.values()),
            settings=config.to_yaml(),
        )
    )
    folder.write("report/index.html", page.encode())


def _overlay(sample: FoundSample) -> bytes:
    drawn = visualize.overlay_quads(sample.image, sample.truths, colour=_TRUTH)
    drawn = visualize.overlay_quads(drawn, sample.found)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(drawn)).save(buffer, "PNG")
    return buffer.getvalue()

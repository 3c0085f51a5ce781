"""The report of a detector's run: curves, and pages with what was found on them."""

import io

import numpy as np
from PIL import Image

from ocr_model.training.console import DETECTOR_COLUMNS, describe_boxes
from ocr_model.training.detection import FoundSample
from ocr_model.training.detector_config import DetectorTrainConfig
from ocr_model.training.loop import TrainResult
from ocr_model.training.run_folder import RunFolder
from ocr_model.visualize.charts import draw_curves
from ocr_model.visualize.overlays import overlay_quads
from ocr_model.visualize.report_page import render_page

_TRUTH = (30, 120, 230)

_PAGE = """
{% block title %}{{ name }}: training report{% endblock %}
{% block content %}
<h1>{{ name }}</h1>
<p>Ended after epoch {{ rows|length }}: {{ reason }}. Kept: epoch {{ best_epoch }}.</p>
<p>{{ verdict }}</p>
<h2>Curves</h2>
{{ picture(curves, "Loss, precision, recall and learning rate by epoch") }}
<h2>Epochs</h2>
{{ table(rows, titles) }}
<h2>Pages</h2>
<p>Blue: what is there. Red: what was found.</p>
{%- for page in pages %}
{{ picture(page, "A validation page with boxes") }}
{%- endfor %}
<h2>Settings</h2>
<pre>{{ settings }}</pre>
{% endblock %}
"""


def write_detector_report(
    folder: RunFolder, config: DetectorTrainConfig, result: TrainResult[FoundSample]
) -> None:
    """Write `report/index.html` and its pictures into the run's folder."""
    history, metrics = result.progress.history, result.metrics
    pictures = {"curves.png": draw_curves(history)}
    for number, sample in enumerate(result.samples):
        pictures[f"page_{number}.png"] = _overlay(sample)
    for name, content in pictures.items():
        folder.write(f"report/{name}", content)
    page = render_page(
        _PAGE,
        name=config.run.name,
        reason=result.progress.finished,
        best_epoch=result.progress.best_epoch + 1,
        verdict=describe_boxes(metrics),
        curves=pictures.pop("curves.png"),
        titles=[title for title, _, _ in DETECTOR_COLUMNS],
        rows=[[form.format(entry[key]) for _, key, form in DETECTOR_COLUMNS] for entry in history],
        pages=list(pictures.values()),
        settings=config.to_yaml(),
    )
    folder.write("report/index.html", page)


def _overlay(sample: FoundSample) -> bytes:
    drawn = overlay_quads(sample.image, sample.truths, colour=_TRUTH)
    drawn = overlay_quads(drawn, sample.found)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(drawn)).save(buffer, "PNG")
    return buffer.getvalue()

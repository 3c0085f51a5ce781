"""The report of a run: curves, readings, attention; pictures and one page that opens from disk."""

import base64
from typing import Any

import jinja2
import numpy as np

from ocr_model import visualize
from ocr_model.data.index import DatasetIndex
from ocr_model.models.attention_maps import read_with_attention
from ocr_model.models.interface import RecognizerModel
from ocr_model.training.config import TrainConfig
from ocr_model.training.loop import TrainResult
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.validation import ReadSample, choose_samples

_NUM_ATTENTION = 6

STYLE = """
  :root { color-scheme: light dark; }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto;
    padding: 0 1rem; }
  img { max-width: 100%; background: white; border-radius: 6px; }
  table { border-collapse: collapse; margin: 1rem 0; }
  th, td { padding: .25rem .9rem .25rem 0; text-align: right; font-variant-numeric: tabular-nums; }
  th:first-child, td:first-child { text-align: left; }
  tr { border-bottom: 1px solid #8884; }
  pre { overflow: auto; padding: 1rem; background: #8882; border-radius: 6px; }
"""

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ name }}: training report</title>
<style>{{ style }}</style>
<h1>{{ name }}</h1>
<p>Ended after epoch {{ history|length }}: {{ reason }}. Kept: epoch {{ best_epoch }}.</p>
<h2>The kept weights on {{ "%d"|format(metrics.num_words) }} validation words</h2>
<table>
  {%- for label, value in figures %}
  <tr><td>{{ label }}</td><td>{{ value }}</td></tr>
  {%- endfor %}
</table>
<h2>Curves</h2>
<img alt="Loss, accuracy, error rates and learning rate by epoch"
  src="data:image/png;base64,{{ curves }}">
<h2>Epochs</h2>
<table>
  <tr>{% for title in titles %}<th>{{ title }}</th>{% endfor %}</tr>
  {%- for row in rows %}
  <tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
  {%- endfor %}
</table>
<h2>Readings</h2>
<p>Wrong ones first, the surest of them at the top: truth → reading, and the confidence.</p>
<img alt="Validation images with truth and reading"
  src="data:image/png;base64,{{ samples }}">
{%- if attention %}
<h2>Attention</h2>
<p>Where the model looked: the mean over all characters, their sum (brightest: half of what one
character has to give), a map per character; of a CTC model, what its columns hold.</p>
{%- for picture in attention %}
<p><img alt="Attention heatmaps of one word" src="data:image/png;base64,{{ picture }}"></p>
{%- endfor %}
{%- endif %}
<h2>Data</h2>
<table>
  <tr><th>part</th><th>samples</th><th>kept</th><th>dropped</th></tr>
  {%- for part, subset in dataset.items() %}
  <tr><td>{{ part }}</td><td>{{ subset.num_seen }}</td><td>{{ subset.num_kept }}</td>
  <td>{% for why, n in subset.dropped.items() %}{{ n }} {{ why }} {% else %}none{% endfor %}</td>
  </tr>
  {%- endfor %}
</table>
{%- if unreadable %}
<p>Images that could not be read:
{%- for why, n in unreadable.items() %} {{ "%d"|format(n) }} {{ why }}
{%- if not loop.last %},{% endif %}{% endfor %}.</p>
{%- endif %}
<h2>Settings</h2>
<pre>{{ settings }}</pre>
</html>
"""

_COLUMNS = (
    ("epoch", "epoch", "{:.0f}"),
    ("train loss", "train/loss", "{:.3f}"),
    ("validation loss", "validation/loss", "{:.3f}"),
    ("words exact", "validation/word_accuracy_exact", "{:.1%}"),
    ("CER", "validation/cer", "{:.2%}"),
    ("images/s", "train/images_per_second", "{:.0f}"),
    ("seconds", "seconds", "{:.0f}"),
)


def write_report(
    folder: RunFolder, config: TrainConfig, index: DatasetIndex, result: TrainResult[ReadSample]
) -> None:
    """Write `report/index.html` and its pictures into the run's folder."""
    assert isinstance(result.model, RecognizerModel)
    shown = choose_samples(result.samples)
    pictures = {
        "curves.png": visualize.draw_curves(result.progress.history),
        "samples.png": visualize.draw_samples(
            [sample.image[:, : sample.content_width] for sample in shown],
            [sample.label for sample in shown],
            [sample.prediction.text for sample in shown],
            [sample.prediction.confidence for sample in shown],
        ),
    }
    wrong = [s for s in shown if s.label != s.prediction.text and s.prediction.text]
    right = [s for s in shown if s.label == s.prediction.text]
    half = _NUM_ATTENTION // 2
    for number, sample in enumerate(right[:half] + wrong[:half]):
        maps = read_with_attention(
            result.model,
            index.charset,
            config.image,
            np.ascontiguousarray(sample.image[:, : sample.content_width]),
            max_chars=config.text.max_chars,
        )
        pictures[f"attention_{number}.png"] = maps.picture()
    for name, content in pictures.items():
        folder.write(f"report/{name}", content)
    folder.write("report/index.html", _page(config, index, result, pictures).encode())


def _page(
    config: TrainConfig,
    index: DatasetIndex,
    result: TrainResult[ReadSample],
    pictures: dict[str, bytes],
) -> str:
    encoded = {name: base64.b64encode(content).decode() for name, content in pictures.items()}
    history, metrics = result.progress.history, result.metrics
    names = ("word_accuracy_exact", "word_accuracy", "token_accuracy", "cer", "wer", "ned")
    labels = ("words exact", "words, 36 characters", "tokens", "CER", "WER", "1-NED")
    figures: list[tuple[str, Any]] = [
        (label, f"{metrics[name]:.2%}") for label, name in zip(labels, names, strict=True)
    ]
    figures += [("BLEU (characters)", f"{metrics['bleu']:.2f}"), ("loss", f"{metrics['loss']:.4f}")]
    template = jinja2.Environment(autoescape=True).from_string(_PAGE)
    return template.render(
        name=config.run.name,
        style=STYLE,
        reason=result.progress.finished,
        history=history,
        best_epoch=result.progress.best_epoch + 1,
        metrics=metrics,
        figures=figures,
        titles=[title for title, _, _ in _COLUMNS],
        rows=[[form.format(entry[key]) for _, key, form in _COLUMNS] for entry in history],
        curves=encoded["curves.png"],
        samples=encoded["samples.png"],
        attention=[encoded[name] for name in encoded if name.startswith("attention_")],
        dataset=index.reports,
        unreadable={
            name.partition("/")[2]: count
            for name, count in history[-1].items()
            if name.startswith("unreadable/")
        },
        settings=config.to_yaml(),
    )

"""The report of a run: curves, readings, attention; pictures and one page that opens from disk."""

from collections.abc import Mapping

import numpy as np

from ocr_model.data.index import DatasetIndex
from ocr_model.models.attention_maps import read_with_attention
from ocr_model.models.interface import RecognizerModel
from ocr_model.training.config import TrainConfig
from ocr_model.training.loop import TrainResult
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.validation import ReadSample, choose_samples
from ocr_model.visualize.charts import draw_curves
from ocr_model.visualize.report_page import render_page
from ocr_model.visualize.words import draw_samples

_NUM_ATTENTION = 6

_PAGE = """
{% block title %}{{ name }}: training report{% endblock %}
{% block content %}
<h1>{{ name }}</h1>
<p>Ended after epoch {{ rows|length }}: {{ reason }}. Kept: epoch {{ best_epoch }}.</p>
<h2>The kept weights on {{ num_words }} validation words</h2>
{{ table(figures) }}
<h2>Curves</h2>
{{ picture(curves, "Loss, accuracy, error rates and learning rate by epoch") }}
<h2>Epochs</h2>
{{ table(rows, titles) }}
<h2>Readings</h2>
<p>Wrong ones first, the surest of them at the top: truth → reading, and the confidence.</p>
{{ picture(samples, "Validation images with truth and reading") }}
{%- if attention %}
<h2>Attention</h2>
<p>Where the model looked: the mean over all characters, their sum (brightest: half of what one
character has to give), a map per character; of a CTC model, what its columns hold.</p>
{%- for png in attention %}
{{ picture(png, "Attention heatmaps of one word") }}
{%- endfor %}
{%- endif %}
<h2>Data</h2>
{{ table(dataset, ["part", "samples", "kept", "dropped"]) }}
{%- if unreadable %}
<p>Images that could not be read: {{ unreadable }}.</p>
{%- endif %}
<h2>Settings</h2>
<pre>{{ settings }}</pre>
{% endblock %}
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
        "curves.png": draw_curves(result.progress.history),
        "samples.png": draw_samples(
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
    folder.write("report/index.html", _page(config, index, result, pictures))


def _page(
    config: TrainConfig,
    index: DatasetIndex,
    result: TrainResult[ReadSample],
    pictures: dict[str, bytes],
) -> bytes:
    history, metrics = result.progress.history, result.metrics
    names = ("word_accuracy_exact", "word_accuracy", "token_accuracy", "cer", "wer", "ned")
    labels = ("words exact", "words, 36 characters", "tokens", "CER", "WER", "1-NED")
    figures = [(label, f"{metrics[name]:.2%}") for label, name in zip(labels, names, strict=True)]
    figures += [("BLEU (characters)", f"{metrics['bleu']:.2f}"), ("loss", f"{metrics['loss']:.4f}")]
    unreadable = {
        name.partition("/")[2]: count
        for name, count in history[-1].items()
        if name.startswith("unreadable/")
    }
    return render_page(
        _PAGE,
        name=config.run.name,
        reason=result.progress.finished,
        best_epoch=result.progress.best_epoch + 1,
        num_words=round(metrics["num_words"]),
        figures=figures,
        titles=[title for title, _, _ in _COLUMNS],
        rows=[[form.format(entry[key]) for _, key, form in _COLUMNS] for entry in history],
        curves=pictures["curves.png"],
        samples=pictures["samples.png"],
        attention=[pictures[name] for name in pictures if name.startswith("attention_")],
        dataset=[
            (part, subset.num_seen, subset.num_kept, _listed(subset.dropped) or "none")
            for part, subset in index.reports.items()
        ],
        unreadable=_listed(unreadable),
        settings=config.to_yaml(),
    )


def _listed(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{count:.0f} {reason}" for reason, count in counts.items())

"""What a dataset holds: counts and histograms as JSON, pictures, and the Hub's README."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from ocr_model.data.reports import SubsetReport
from ocr_model.data.source_config import Subset
from ocr_model.errors import DatasetError
from ocr_model.image import decode_image
from ocr_model.making.plan import Plan
from ocr_model.making.shards import Row, group_sizes, read_samples
from ocr_model.storage import Folder
from ocr_model.visualize.charts import draw_label_statistics
from ocr_model.visualize.words import draw_contact_sheet

_SHARDS_SHOWN = 8  # the contact sheet's samples come from so many files
_QUADS_SHOWN = 0.25  # share of it that shows the characters' places
_SIZE_CATEGORIES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"),
)  # fmt: skip
_HUB_FEATURES = [
    {"name": "image", "dtype": "image"},
    {"name": "label", "dtype": "string"},
    {"name": "char_quads", "list": {"list": "float32", "length": 8}},
]


@dataclass(frozen=True)
class DatasetCard:
    """A finished dataset."""

    address: str
    reports: dict[Subset, SubsetReport]

    @property
    def train_command(self) -> str:
        """The command that trains on it; where it has no training part, the one that scores."""
        if "train" not in self.reports:
            settings = ["model=runs/quickstart/best", f"data.path={self.address}/validation"]
            return _command("jobs/evaluate.py", "data.source=parquet", *settings)
        validation = "data.validation_fraction=0.1"
        if "validation" in self.reports:
            validation = f"data.validation_path={self.address}/validation"
        name = self.address.rstrip("/").rpartition("/")[2]
        settings = [f"data.path={self.address}/train", validation]
        return _command("jobs/train.py", f"run.name={name}", "data.source=parquet", *settings)


def write_card(plan: Plan, accounts: dict[str, SubsetReport], folder: Folder) -> DatasetCard:
    """Write `card.json`, `card.png`, `contact_sheet.png`, `README.md` and `config.yaml`.

    Raises:
        DatasetError: A part has no usable row.
    """
    reports: dict[Subset, SubsetReport] = {}
    for shard in plan.shards:
        reports.setdefault(shard.subset, SubsetReport()).add(accounts[shard.name])
    for subset, report in reports.items():
        if not report.num_kept:
            raise DatasetError(
                f"none of {report.num_seen} rows of the {subset} part is usable; dropped "
                f"{dict(report.dropped)}"
            )
    card = DatasetCard(folder.address, reports)
    figures = _figures(plan, reports, folder)
    statistics: dict[str, Any] = {name: report.to_json() for name, report in reports.items()}
    folder.write("config.yaml", plan.config.to_yaml().encode())
    folder.write("card.json", json.dumps(figures, indent=2, ensure_ascii=False).encode())
    folder.write("card.png", draw_label_statistics(statistics))
    folder.write("contact_sheet.png", _contact_sheet(plan, accounts, folder))
    folder.write("README.md", _readme(figures, card).encode())
    return card


def _figures(plan: Plan, reports: dict[Subset, SubsetReport], folder: Folder) -> dict[str, Any]:
    subsets: dict[str, Any] = {}
    for subset, report in reports.items():
        names = [shard.name for shard in plan.shards if shard.subset == subset]
        size = sum(folder.size(name) for name in names)
        subsets[subset] = {"shards": len(names), "bytes": size, **report.to_json()}
    return {"plan": plan.digest, "config": plan.config.content(), "subsets": subsets}


def _contact_sheet(plan: Plan, accounts: dict[str, SubsetReport], folder: Folder) -> bytes:
    rows = list(_sample(plan, accounts, folder))
    order = np.random.default_rng(1).permutation(len(rows))
    rows = [rows[i] for i in order]
    images = [decode_image(row["image"]["bytes"]) for row in rows]
    first_with_quads = round(len(rows) * (1 - _QUADS_SHOWN))
    quads = [
        np.array(row["char_quads"], np.float32).reshape(-1, 4, 2)
        if row["char_quads"] is not None and i >= first_with_quads
        else None
        for i, row in enumerate(rows)
    ]
    return draw_contact_sheet(images, [row["label"] for row in rows], quads)


def _sample(plan: Plan, accounts: dict[str, SubsetReport], folder: Folder) -> Iterator[Row]:
    """Yield random rows out of a few row groups."""
    rng = np.random.default_rng(0)
    names = [shard.name for shard in plan.shards if accounts[shard.name].num_kept]
    chosen = sorted(rng.choice(len(names), min(_SHARDS_SHOWN, len(names)), replace=False))
    shares = np.diff(np.linspace(0, plan.config.num_shown, len(chosen) + 1).round().astype(int))
    for place, share in zip(chosen, shares, strict=True):
        sizes = group_sizes(folder, names[place])
        group = int(rng.integers(len(sizes)))
        rows = rng.choice(sizes[group], min(int(share), sizes[group]), replace=False)
        yield from read_samples(folder, names[place], group, rows.tolist())


def _readme(figures: dict[str, Any], card: DatasetCard) -> str:
    subsets = figures["subsets"]
    num_rows = sum(subset["kept"] for subset in subsets.values())
    num_bytes = sum(subset["bytes"] for subset in subsets.values())
    header = {
        "pretty_name": "Word images with labels",
        "task_categories": ["image-to-text"],
        "tags": ["ocr", "text-recognition", figures["config"]["data"]["source"]],
        "size_categories": [
            next((name for most, name in _SIZE_CATEGORIES if num_rows < most), "n>1T")
        ],
        "dataset_info": {
            "features": _HUB_FEATURES,
            "splits": [
                {"name": name, "num_bytes": subset["bytes"], "num_examples": subset["kept"]}
                for name, subset in subsets.items()
            ],
            "download_size": num_bytes,
            "dataset_size": num_bytes,
        },
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": f"{name}/*.parquet"} for name in subsets],
            }
        ],
    }
    return _README.format(
        header=yaml.safe_dump(header, sort_keys=False, allow_unicode=True),
        num_rows=f"{num_rows:,}",
        source=figures["config"]["data"]["source"],
        table="\n".join(
            f"| {name} | {subset['kept']:,} | {subset['seen']:,} | {_reasons(subset['dropped'])} | "
            f"{subset['shards']} | {subset['bytes'] / 1e6:,.1f} MB |"
            for name, subset in subsets.items()
        ),
        command=card.train_command,
    )


_README = """---
{header}---

# Word images

{num_rows} word images with their labels, made by OCR on Ray from `{source}`. How is in
`config.yaml`, what came out in `card.json`.

| part | rows | read | dropped | files | size |
|---|---|---|---|---|---|
{table}

`image` is encoded, `label` the text as the source has it. `char_quads` has, where the source
knows them, the corners of each character: x and y, clockwise from the upper left, in pixels of the
picture.

![Samples](contact_sheet.png)

![Lengths and characters of the labels](card.png)

```bash
{command}
```
"""


def _reasons(dropped: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {reason}" for reason, n in dropped.items()) or "none"


def _command(script: str, *settings: str) -> str:
    return shlex.join(["uv", "run", script, "--set", *settings])

"""Tiny data and tiny runs that many rooms share."""

import io
import os
import socket
import subprocess
import sys
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import torch
from PIL import Image

from ocr_model.config import load_config
from ocr_model.data.index import DatasetIndex, index_dataset
from ocr_model.data.loading import LocalData
from ocr_model.data.synthetic.renderer import WordRenderer
from ocr_model.data.synthetic.stages import RendererConfig
from ocr_model.models.resnet_transformer import ResNetTransformerConfig
from ocr_model.training.config import TrainConfig
from ocr_model.training.local_data import build_local_data
from ocr_model.training.loop import TrainResult
from ocr_model.training.recognition import train
from ocr_model.training.run_folder import RunFolder

torch.set_num_threads(1)  # tensors here are so small that threads only wait for each other

_TINY = """
run: {name: tiny}
data: {source: synthetic, num_words: 64, num_validation_words: 24, lexicon: {max_chars: 12}}
text: {max_chars: 12}
image: {width: 64}
model:
  name: resnet_transformer
  backbone: resnet10
  backbone_width: 0.25
  hidden: 32
  num_layers: 1
  num_heads: 2
  num_kv_heads: 2
  feed_forward: 64
  max_chars: 12
training: {batch_size: 16, epochs: 2, precision: fp32}
"""


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrainConfig]:
    """Return a function of a storage folder and overrides: a run that takes a second."""
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(_TINY, encoding="utf-8")

    def build(storage: Path, *overrides: str) -> TrainConfig:
        return load_config(TrainConfig, path, [f"run.storage={storage}", *overrides])

    return build


@pytest.fixture(scope="session")
def tiny_model(tiny_config: Callable[..., TrainConfig]) -> ResNetTransformerConfig:
    """Settings of that run's model."""
    model = tiny_config(Path("runs")).model
    assert isinstance(model, ResNetTransformerConfig)
    return model


@pytest.fixture(scope="session", autouse=True)
def one_environment() -> Iterator[None]:
    """Keep Ray from making a second one, of 7 GB, for its workers, as it does under `uv run`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        # What has been imported has read it before.
        patch.setattr("ray._private.ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV", False)
        yield


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One Ray on this machine for all tests that need one."""
    environment = {
        "RAY_AUTH_MODE": "disabled",  # no token in anybody's home folder
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
        "RAY_worker_niceness": "0",
        "RAY_metrics_report_interval_ms": "500",  # ten seconds by default, which tests would wait
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        ray.init(
            address="local",
            num_cpus=4,
            object_store_memory=200_000_000,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        yield
        ray.shutdown()


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Return a function that finds a port to listen on, another one at each call.

    It is none of those that Linux gives to connections, which one could take in the meantime, and
    none of those of Ray's workers.
    """
    ports = iter(range(20_001 + os.getpid() % 10_000, 32_767))

    def find() -> int:
        for port in ports:
            with suppress(OSError), socket.socket() as opened:
                opened.bind(("", port))
                return port
        raise AssertionError("no port is free")

    return find


@pytest.fixture(scope="session")
def s3_server(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[str]:
    """Address of an S3 of its own process, which keeps its objects in memory."""
    port = free_port()
    log = (tmp_path_factory.mktemp("s3") / "log").open("wb")
    server = Path(sys.executable).with_name("moto_server")
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    process = subprocess.Popen(
        [server, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log, env=environment
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with suppress(OSError):
                urllib.request.urlopen(f"{address}/moto-api/", timeout=5).close()
                break
            assert process.poll() is None
            time.sleep(0.1)
        yield address
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Name of a new bucket, whose credentials and endpoint are in the environment."""
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ALLOW_HTTP": "true",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{zlib.crc32(request.node.nodeid.encode()):08x}"
    making = urllib.request.Request(f"{s3_server}/{name}", method="PUT")
    urllib.request.urlopen(making, timeout=30).close()
    return name


@pytest.fixture(scope="session")
def local_data() -> Callable[[TrainConfig, DatasetIndex], LocalData]:
    """Return the function that gives a run its data without Ray."""
    return build_local_data


@pytest.fixture(scope="session")
def write_words() -> Callable[..., Path]:
    """Return a function that writes rendered words to a Parquet file with the Hub's schema.

    An image given in `images` takes the place of the rendered one.
    """

    def write(path: Path, words: Sequence[str], images: dict[int, bytes] | None = None) -> Path:
        renderer = WordRenderer(RendererConfig())
        rows = []
        for number, word in enumerate(words):
            buffer = io.BytesIO()
            pixels = renderer.render(word, np.random.default_rng(number)).pixels
            Image.fromarray(pixels).save(buffer, "PNG")
            content = (images or {}).get(number, buffer.getvalue())
            rows.append({"bytes": content, "path": None})
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({"image": pa.array(rows, kind), "label": list(words)})
        pq.write_table(table, path, row_group_size=50)
        return path

    return write


@pytest.fixture(scope="session")
def trained_config(
    tiny_config: Callable[..., TrainConfig],
    write_words: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> TrainConfig:
    """Settings of the one run that the tests of what comes after training share."""
    folder = tmp_path_factory.mktemp("trained")
    words = [
        f"{first}{second}{number}" for first in "abcd" for second in "xyz" for number in range(9)
    ]
    path = write_words(folder / "<i>words.parquet", words)
    return tiny_config(
        folder / "runs",
        "data.source=parquet",
        f"data.path='{path}'",
        "data.validation_fraction=0.25",
    )


@pytest.fixture(scope="session")
def trained_index(trained_config: TrainConfig) -> DatasetIndex:
    """Index of the shared run's data."""
    return index_dataset(trained_config.data, trained_config.text)


@pytest.fixture(scope="session")
def trained_folder(trained_config: TrainConfig) -> RunFolder:
    """Folder of the shared run."""
    return RunFolder(trained_config.run.storage, trained_config.run.name)


@pytest.fixture(scope="session")
def trained_result(
    trained_config: TrainConfig,
    trained_index: DatasetIndex,
    trained_folder: RunFolder,
) -> TrainResult:
    """How the shared run ended."""
    data = build_local_data(trained_config, trained_index)
    return train(trained_config, trained_index.charset, data, trained_folder)


@pytest.fixture(scope="session")
def bundle_path(trained_result: TrainResult, trained_folder: RunFolder) -> Path:
    """Bundle of the shared run; not to be changed."""
    assert trained_result.progress.finished
    assert trained_folder.local_path is not None
    return trained_folder.local_path / "best"


@pytest.fixture(scope="session")
def make_pdf() -> Callable[..., bytes]:
    """Return a function of what its pages draw, one after the other: a PDF, all deflated.

    `objects` are further streams, each a dictionary's entries and its content, numbered from 4;
    `resources` may refer to them.
    """

    def stream(entries: bytes, content: bytes) -> bytes:
        data = zlib.compress(content, 9)
        entries += b"/Filter/FlateDecode/Length %d" % len(data)
        return b"<<%b>>stream\n%b\nendstream" % (entries, data)

    def make(
        *drawings: bytes, resources: bytes = b"", objects: Sequence[tuple[bytes, bytes]] = ()
    ) -> bytes:
        first = 4 + len(objects)
        pages = range(first, first + 2 * len(drawings), 2)
        kids = b" ".join(b"%d 0 R" % page for page in pages)
        body = [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, len(drawings)),
            b"<<%b>>" % resources,
            *(stream(*parts) for parts in objects),
        ]
        for page, drawing in zip(pages, drawings, strict=True):
            refers = b"/Resources 3 0 R/Contents %d 0 R" % (page + 1)
            body.append(b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]%b>>" % refers)
            body.append(stream(b"", drawing))
        numbered = [b"%d 0 obj\n%b\nendobj\n" % (i, part) for i, part in enumerate(body, 1)]
        return b"%PDF-1.7\n" + b"".join(numbered) + b"trailer<</Root 1 0 R>>\n%%EOF"

    return make


@pytest.fixture(scope="session")
def plain_picture() -> Callable[..., bytes]:
    """Return a function of a colour and a format: 24 x 12 pixels of that colour, encoded."""

    def encode(colour: str = "white", kind: str = "PNG") -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (24, 12), colour).save(buffer, kind)
        return buffer.getvalue()

    return encode

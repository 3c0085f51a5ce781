import re
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from ocr_model.inference.documents import DocumentConfig, PageImage, open_pages

Encode = Callable[..., bytes]
OnlyPage = Callable[..., PageImage]
ReasonOf = Callable[[PageImage], str]

KINDS = ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PDF"]

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def _rss_mib() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def _peak_mib(work: Callable[[], object]) -> float:
    """Return by how much memory rose above what it was, at the most."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    before = _rss_mib()
    work()
    peak = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert peak is not None
    return int(peak[1]) / 1024 - before


def _huge_png(_: Encode) -> bytes:
    """Return 20,000x20,000 pixels of one bit."""
    rows = zlib.compress(bytes(20_000 * (1 + 20_000 // 8)), 1)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)), (b"IDAT", rows)]
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in [*chunks, (b"IEND", b"")]:
        parts += [
            struct.pack(">I", len(data)),
            name,
            data,
            struct.pack(">I", zlib.crc32(name + data)),
        ]
    return b"".join(parts)


def _huge_tiff(encode: Encode) -> bytes:
    """Return a TIFF that says it has 20,000x20,000 pixels."""
    data = encode("TIFF", size=(1234, 1235))
    return data.replace(struct.pack("<I", 1234), struct.pack("<I", 20_000)).replace(
        struct.pack("<I", 1235), struct.pack("<I", 20_000)
    )


@needs_linux
@pytest.mark.parametrize("make", [_huge_png, _huge_tiff])
def test_a_huge_picture_is_refused_without_being_decoded(
    make: Callable[[Encode], bytes], tmp_path: Path, encode: Encode, reason_of: ReasonOf
) -> None:
    data, path = make(encode), tmp_path / "huge"
    path.write_bytes(data)
    found: list[PageImage] = []
    peak = _peak_mib(lambda: found.extend([*open_pages(path), *open_pages(data)]))
    assert [reason_of(page) for page in found] == ["too_large"] * 2
    assert peak < 10  # 400 million pixels would be 48 MiB at one bit


def test_a_file_longer_than_any_picture_of_the_bound_is_not_read(
    tmp_path: Path, encode: Encode, only_page: OnlyPage, reason_of: ReasonOf
) -> None:
    path = tmp_path / "long.png"
    with path.open("wb") as file:
        file.write(encode("PNG"))
        file.truncate(20 * 2**20)  # sparse
    assert reason_of(only_page(path, max_pixels=100_000)) == "too_large"
    assert only_page(path).error == ""


@needs_linux
@pytest.mark.parametrize("kind", ["PDF", "TIFF"])
def test_pages_are_not_kept_in_memory(kind: str, tmp_path: Path, encode: Encode) -> None:
    path = tmp_path / "many"
    path.write_bytes(encode(kind, 50, size=(800, 800)))

    def read() -> None:
        assert (
            sum(page.pixels is not None for page in open_pages(path, DocumentConfig(dpi=72.0)))
            == 50
        )

    assert _peak_mib(read) < 30  # all of them are 92 MiB


def _mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with a wrong header, a body cut short, or bytes changed, put in or moved."""
    changed, kind = bytearray(data), rng.integers(6)
    if kind == 0:
        return data[: int(rng.integers(len(data)))]
    head = min(len(data), 64) if kind in (1, 2) else len(data)
    for _ in range(int(rng.integers(1, 12))):
        place = int(rng.integers(head))
        if kind == 4:
            changed[place:place] = rng.bytes(int(rng.integers(1, 30)))
        elif kind == 5:
            start, length = (int(n) for n in rng.integers(1, len(data), 2))
            changed[place : place + 8] = data[start : start + min(length, 64)]
        else:
            digits = b"0123456789-" if chr(changed[place]).isdigit() else bytes(range(256))
            changed[place] = digits[int(rng.integers(len(digits)))]
    return bytes(changed)


def _mutations(per_kind: int, encode: Encode) -> Iterator[tuple[str, bytes]]:
    for kind in KINDS:
        data = encode(kind, 1 if kind in ("JPEG", "BMP", "PNG") else 2)
        rng = np.random.default_rng(KINDS.index(kind))
        for _ in range(per_kind):
            yield kind, _mutated(data, rng)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what is odd in them
def test_a_thousand_mutated_files_give_pixels_or_an_error_and_memory_stays_flat(
    encode: Encode,
) -> None:
    config = DocumentConfig(max_pixels=1_000_000, max_pages=20, dpi=72.0)
    outcomes: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    rss = []
    for kind, data in _mutations(150, encode):
        for page in open_pages(data, config):
            assert (page.pixels is None) == bool(page.error)
            outcomes[kind][page.error.partition(": ")[0] or "pixels"] += 1
        rss.append(_rss_mib())
    assert len(rss) == 1050
    assert all(len(found) >= 2 and found["pixels"] > 0 for found in outcomes.values()), outcomes
    assert rss[-1] - rss[200] < 40

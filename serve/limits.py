"""What a request may cost, and who may send one."""

import re
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from ocr_model.config import Config
from ocr_model.inference.documents import DocumentConfig

from .messages import PageOptions

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class LimitsConfig(Config):
    """Bounds of one request, and of all that one replica of the ingress has at a time."""

    max_body_bytes: PositiveInt = 20_000_000
    """Of a request; more is refused as soon as it is seen."""
    max_body_seconds: PositiveFloat = 30.0
    """Until a body must have come whole."""
    max_seconds: PositiveFloat = 120.0
    """For the answer of a request, of a stream for each document; then it is cancelled."""
    max_image_pixels: PositiveInt = Field(50_000_000, le=178_956_970)
    """Of a picture, known from its header; a PDF's page is rendered smaller."""
    max_word_pixels: PositiveInt = 16_000_000
    """Of all pictures of words in a request together, known from their headers; of those that are
    neither PNG nor JPEG, where the request is read by several calls, of those in a call."""
    max_pages: PositiveInt = 20
    """Of a document; longer ones are for `/v1/batches`."""
    max_pdf_seconds: PositiveFloat = 40.0
    """PDFium's, to draw the pages of a document; those that are left then are not read. What one
    page may take of time and memory, `pages.reading.documents.pdf_bounds` says."""
    max_words: PositiveInt = 512
    """Pictures in one request of words."""
    max_files: PositiveInt = 64
    """Documents in one request that streams its answers."""
    max_requests: PositiveInt = 128
    """That a replica of the ingress works on at a time; what comes beyond gets 429 at once."""
    retry_after_seconds: PositiveInt = 1
    """What a refused caller is told to wait."""

    def documents(self, configured: DocumentConfig, options: PageOptions) -> DocumentConfig:
        """Return how a request's document is opened."""
        bounds = configured.pdf_bounds
        if bounds is not None:
            bounds = bounds.replace(document_seconds=self.max_pdf_seconds)
        return configured.replace(
            pages=options.pages,
            dpi=configured.dpi if options.dpi is None else options.dpi,
            max_pages=self.max_pages,
            max_pixels=self.max_image_pixels,
            pdf_bounds=bounds,
        )


class TokenConfig(Config):
    """One caller's token, of which only the hash is known."""

    name: str
    """In logs and metrics."""
    sha256: str
    """Of the token, in hexadecimal: `printf %s "$TOKEN" | sha256sum`."""
    requests_per_minute: NonNegativeInt = 0
    """Of each replica of the ingress, on the average; 0: as many as there may be."""
    burst: PositiveInt = 10
    """Requests that may come at once after a rest."""

    @field_validator("sha256")
    @classmethod
    def _is_a_hash(cls, sha256: str) -> str:
        if not _SHA256.fullmatch(sha256):
            raise ValueError("sha256 takes 64 hexadecimal digits in lower case, never the token")
        return sha256

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"name takes up to 64 letters, digits, `_.-`, got {name!r}")
        return name


class AccessConfig(Config):
    """Who may use the service."""

    required: Literal["auto", "always", "never"] = "auto"
    """auto: nobody needs a token where the proxies listen on loopback alone and none is known."""
    tokens: tuple[TokenConfig, ...] = ()
    tokens_variable: str = "OCR_TOKENS"
    """Environment variable with more of them: `name:sha256` or `name:sha256:requests_per_minute`,
    separated by blanks."""


class BatchesConfig(Config):
    """Jobs that callers may start."""

    inputs: tuple[str, ...] = ()
    """Prefixes, such as `s3://scans/`, below which buckets may be read; empty: no jobs at all."""
    outputs: tuple[str, ...] = ()
    """The same of what is written."""
    max_readers: PositiveInt = 1
    """Processes of one job that read; each takes a CPU that the service does not have."""
    max_jobs: PositiveInt = 4
    """That are under way at a time; more get 429 (each replica of the ingress may start
    one at the same moment). A driver of each runs on the cluster's head."""
    address: str | None = None
    """Of Ray's job server, as `http://head:8265`; null: of the cluster that this runs on."""

    @field_validator("inputs", "outputs")
    @classmethod
    def _prefixes_end(cls, prefixes: tuple[str, ...]) -> tuple[str, ...]:
        for prefix in prefixes:
            if not prefix.endswith("/"):
                raise ValueError(f"a prefix ends with '/', or it would allow others: {prefix!r}")
        return prefixes

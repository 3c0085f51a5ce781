"""Prometheus metrics, which Ray exports from each node; every series has the prefix `ray_ocr_`."""

from collections.abc import Callable, Sequence

from ray.serve import metrics

from ocr_model.inference.pages import Page

from .batcher import BatchReport

_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]
_ITEMS = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]
_REQUEST_TAGS = ("route", "status", "caller")
_SHARES = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 2.0]


class WordMetrics:
    """Of a replica of the recogniser."""

    def __init__(self) -> None:
        # Ray's histograms know buckets alone: means are exact by these counters.
        self._words = metrics.Counter("ocr_words", "Words read.")
        self._batches = metrics.Counter("ocr_batches", "Batches.")
        self._filled = metrics.Counter("ocr_filled_batches", "The sum of how full they were.")
        self._busy = metrics.Counter("ocr_batch_busy_seconds", "The sum of what they took.")
        self._items = metrics.Histogram("ocr_batch_words", "Words of a batch.", _ITEMS)
        self._fill = metrics.Histogram("ocr_batch_fill", "Padded pixels by the most.", _SHARES)
        self._waited = metrics.Histogram("ocr_batch_wait_seconds", "Until its turn.", _SECONDS)
        self._computed = metrics.Histogram("ocr_batch_seconds", "Computing a batch.", _SECONDS)

    def report(self, batch: BatchReport) -> None:
        """Count a batch."""
        self._words.inc(batch.num_items)
        self._batches.inc()
        self._filled.inc(batch.fill)
        self._busy.inc(batch.seconds_computed)
        self._items.observe(batch.num_items)
        self._fill.observe(batch.fill)
        self._waited.observe(batch.seconds_waited)
        self._computed.observe(batch.seconds_computed)


class PageMetrics:
    """Of a replica of the detector."""

    def __init__(self) -> None:
        self._pages = metrics.Counter("ocr_pages", "Pages read, by outcome.", ("outcome",))
        self._stages = metrics.Histogram(
            "ocr_stage_seconds", "A page's share of each stage.", _SECONDS, ("stage",)
        )

    def report(self, pages: Sequence[Page]) -> None:
        """Count pages, and what their stages took."""
        for page in pages:
            self._pages.inc(tags={"outcome": page.error.partition(":")[0] or "read"})
            for stage, seconds in page.seconds.items():
                self._stages.observe(seconds, tags={"stage": stage})


class RequestMetrics:
    """Of a replica of the ingress."""

    def __init__(self, num_waiting: Callable[[], int]) -> None:
        """Tell of requests, and at each how many words of all wait for a call."""
        self._num_waiting = num_waiting
        self._requests = metrics.Counter(
            "ocr_requests",
            "Answered requests.",
            _REQUEST_TAGS,  # type: ignore[arg-type]  # Ray's own
        )
        self._seconds = metrics.Histogram(
            "ocr_request_seconds", "From the first byte to the answer's last.", _SECONDS, ("route",)
        )
        self._problems = metrics.Counter("ocr_problems", "Refused requests, by kind.", ("kind",))
        self._under_way = metrics.Gauge("ocr_requests_under_way", "Requests now.")
        self._waiting = metrics.Gauge("ocr_waiting_words", "Words in no call yet, but a page's.")

    def begin(self, num_under_way: int) -> None:
        """Show how many there are."""
        self._show(num_under_way)

    def end(self, route: str, status: int, caller: str, seconds: float, num_under_way: int) -> None:
        """Count a request that was answered."""
        self._requests.inc(tags={"route": route, "status": str(status), "caller": caller})
        self._seconds.observe(seconds, tags={"route": route})
        self._show(num_under_way)

    def count_problem(self, kind: str) -> None:
        """Count a request that was refused."""
        self._problems.inc(tags={"kind": kind})

    def _show(self, num_under_way: int) -> None:
        self._under_way.set(num_under_way)
        self._waiting.set(self._num_waiting())

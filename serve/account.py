"""What is told of a request when it is over: a log line and Prometheus series."""

import logging
import time
from dataclasses import dataclass, field

from .metrics import RequestMetrics

OPEN = "open"
"""The caller of what needs no token, such as probes, which would fill the log."""
_GONE = 499  # a caller who went away before the answer began, as nginx has it

logger = logging.getLogger("ray.serve")


@dataclass
class Account:
    """Of one request; what is learned on its way is written into it."""

    route: str
    caller: str = "unknown"
    status: int = 0
    """Of HTTP, also where gRPC has codes of its own; 0: no answer has begun."""
    problem: str = ""
    """Its kind; empty: there was none."""
    began: float = field(default_factory=time.monotonic)

    def close(self, metrics: RequestMetrics, num_under_way: int) -> None:
        """Count the request and write its line."""
        seconds = time.monotonic() - self.began
        if self.problem:
            metrics.count_problem(self.problem)
        status = self.status or _GONE
        metrics.end(self.route, status, self.caller, seconds, num_under_way)
        if self.caller != OPEN:
            logger.info(
                "request",
                extra={
                    "route": self.route,
                    "status": status,
                    "caller": self.caller,
                    "problem": self.problem,
                    "milliseconds": round(1000 * seconds, 1),
                },
            )

"""Memory of a command and all its processes over time, in PSS (shared pages counted once).

    uv run tests/benchmarks/memory.py python jobs/train.py --set run.storage=/tmp/runs

Prints the largest sum, and per process name the growth from a quarter of the time to its end.
"""

import json
import subprocess
import sys
import time
from collections import defaultdict

import psutil


def main() -> None:
    """Run the command given as arguments and print one JSON object when it ends."""
    process = psutil.Popen(sys.argv[1:])
    samples: list[tuple[float, dict[str, float]]] = []
    while process.poll() is None:
        samples.append((time.monotonic(), _pss_mib(process)))
        try:
            process.wait(timeout=2)
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
            continue
    totals = [sum(names.values()) for _, names in samples]
    peak = max(range(len(totals)), key=totals.__getitem__)
    quarter, end = samples[len(samples) // 4][1], samples[int(len(samples) * 0.95)][1]
    print(
        json.dumps(
            {
                "peak_mib": round(totals[peak]),
                "mib_at": {
                    f"{s}%": round(totals[len(totals) * s // 100]) for s in (25, 50, 75, 95)
                },
                "peak_by_name": {k: round(v) for k, v in samples[peak][1].items() if v > 50},
                "growth": {
                    name: round(end[name] / quarter[name] - 1, 3)
                    for name in quarter
                    if end.get(name, 0) > 100
                },
                "exit_status": process.returncode,
            }
        )
    )


def _pss_mib(process: psutil.Process) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return found
    for member in family:
        try:
            name = " ".join(member.cmdline())[:40]
            found[name] += member.memory_full_info().pss / 2**20
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


if __name__ == "__main__":
    main()

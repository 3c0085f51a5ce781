"""Training on a Ray cluster: resources, workers, restarts. The loop itself is in `loop.py`.

What the workers train is said by recognizer_trainer.py and detector_trainer.py.
"""

import json
import queue
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray
import ray.autoscaler.sdk
import ray.exceptions
import ray.train
import torch
from ray.exceptions import RayTaskError
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.util.queue import Empty, Queue

from ocr_model import errors
from ocr_model.data.ingest import (
    Loader,
    RayData,
    TrainBatch,
    ValidationBatch,
    unwrapped,
)
from ocr_model.devices import num_cores
from ocr_model.errors import ClusterError, OCRError
from ocr_model.training.config import LaunchSettings, ScalingConfig
from ocr_model.training.loop import Report
from ocr_model.training.outcome import OUTCOME_FILE, TrainOutcome
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.worker import Worker

FAULT_FILE = "fault.json"


TrainFunction = Callable[[dict[str, Any], Any, RunFolder, Worker, Report], dict[str, Any]]
"""Takes settings, payload, the run's folder, its place, and where events go; returns how the run
ended (`reason`, `metrics`). A module's function, which workers import."""


@dataclass(frozen=True)
class WorkerJob:
    """What each training worker does; kept in Ray's object store until one takes it.

    Ray Train's controller unpickles what it is given outright, and would import, before it starts
    any worker, all that `train` needs.
    """

    train: TrainFunction
    config: dict[str, Any]
    payload: object


def run_workers(
    job: WorkerJob,
    config: LaunchSettings,
    folder: RunFolder,
    num_workers: int,
    resources: dict[str, float],
    report: Report,
) -> TrainOutcome:
    """Run a job on all workers, and note how it ended.

    Raises:
        OCRError: What the workers raised, or ClusterError where they were lost.
    """
    folder.write("config.yaml", config.to_yaml().encode())
    events = Queue(actor_options={"num_cpus": 0})
    setup = {
        "job": ray.put(job),
        "events": events,
        "attempt": uuid.uuid4().hex,
        "name": config.run.name,
        "storage": folder.address.removesuffix(f"/{config.run.name}"),
    }
    with _relayed(events, report):
        result = _fit(config, setup, num_workers, resources)
    if "error" in result:
        raise getattr(errors, result["error"])(result["message"])
    outcome = TrainOutcome(
        result["reason"],
        f"{folder.address}/best",
        f"{folder.address}/report/index.html",
        result["metrics"],
        was_finished=False,
    )
    folder.write(OUTCOME_FILE, json.dumps(vars(outcome), indent=2).encode())
    return outcome


def require_resources(scaling: ScalingConfig) -> tuple[int, dict[str, float]]:
    """Return the number of workers and what each asks for.

    Raises:
        ClusterError: The cluster cannot hold them beside one CPU for data; the message says what
            is missing. Waits `scaling.wait_seconds` for nodes that are being started.
    """
    gpus = ray.cluster_resources().get("GPU", 0)
    use_gpu = gpus > 0 if scaling.use_gpu is None else scaling.use_gpu
    request = {"CPU": scaling.cpus_per_worker} | ({"GPU": 1.0} if use_gpu else {})
    default = int(gpus) if use_gpu else len(_alive_nodes())
    num_workers = scaling.num_workers or max(1, default)
    if scaling.wait_seconds:  # asked of the autoscaler until the run's own workers hold them
        bundles = [request] * num_workers + [{"CPU": 1.0}]
        ray.autoscaler.sdk.request_resources(bundles=bundles)
    deadline = time.monotonic() + scaling.wait_seconds
    while True:
        missing = _missing(num_workers, request)
        if not missing:
            return num_workers, request
        if time.monotonic() >= deadline:
            raise ClusterError(
                f"{num_workers} training workers of {request} and 1 CPU for data do not fit the "
                f"cluster: {missing}. Lower scaling.num_workers or scaling.cpus_per_worker, add "
                "nodes, or set scaling.wait_seconds where an autoscaler adds them"
            )
        time.sleep(1)


def _missing(num_workers: int, request: dict[str, float]) -> str:
    nodes = [node["Resources"] for node in _alive_nodes()]
    places = sum(
        int(min(node.get(name, 0) // amount for name, amount in request.items())) for node in nodes
    )
    totals = {name: sum(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU")}
    spare, left = [], num_workers
    for node in sorted(nodes, key=lambda node: -node.get("CPU", 0)):
        here = min(left, *(int(node.get(name, 0) // need) for name, need in request.items()))
        left -= here
        spare.append(node.get("CPU", 0) - here * request["CPU"])
    if places < num_workers:
        return f"it has room for {places}, with {totals['CPU']:g} CPUs and {totals['GPU']:g} GPUs"
    if max(spare) < 1:
        return f"its {totals['CPU']:g} CPUs leave none for data"
    return ""


def _alive_nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _fit(
    config: LaunchSettings, setup: dict[str, Any], num_workers: int, resources: dict[str, float]
) -> dict[str, Any]:
    trainer = TorchTrainer(
        _train_worker,  # type: ignore[arg-type]  # what it returns becomes Result.return_value
        train_loop_config=setup,
        torch_config=TorchConfig(timeout_s=300),
        scaling_config=ray.train.ScalingConfig(
            num_workers=num_workers, use_gpu="GPU" in resources, resources_per_worker=resources
        ),
        run_config=ray.train.RunConfig(
            name=config.run.name,
            storage_path=setup["storage"],
            failure_config=ray.train.FailureConfig(max_failures=config.scaling.max_failures),
        ),
    )
    try:
        with _interruptible():
            result = trainer.fit()
    except ray.train.TrainingFailedError as error:
        failures = getattr(error, "worker_failures", {})
        for failure in map(unwrapped, failures.values()):
            if isinstance(failure, OCRError):
                raise failure from error
        raise ClusterError(
            f"training failed {config.scaling.max_failures + 1} times; the same command goes on "
            f"from the last checkpoint. {error}"
        ) from error
    return dict(result.return_value)  # type: ignore[attr-defined]  # of Train V2; the stub is V1's


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C arrive as KeyboardInterrupt.

    Ray Train handles it by ending the workers and then this process, without a word, and leaves
    its handler behind.
    """
    former = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        if threading.current_thread() is threading.main_thread():  # no other may, Ray's neither
            signal.signal(signal.SIGINT, former)


def _train_worker(setup: dict[str, Any]) -> dict[str, Any]:
    """Run the loop as one Ray Train worker.

    What the run itself did wrong is raised on all ranks alike, and returned: a restart would only
    repeat it. Where one rank's data task did wrong, the others wait for that rank until Ray ends
    them; started anew, all return what that rank left in the run's folder. Anything else is raised,
    and Ray restarts the workers.
    """
    folder = RunFolder(setup["storage"], setup["name"])
    former = json.loads(folder.read(FAULT_FILE) or "{}")
    if former.get("attempt") == setup["attempt"]:
        return dict(former)
    context = ray.train.get_context()
    worker = Worker(context.get_world_rank(), context.get_world_size(), get_device())
    # Ray sets OMP_NUM_THREADS to the logical CPUs of the worker; on a CPU use the real ones.
    torch.set_num_threads(max(1, num_cores() // context.get_local_world_size()))
    try:
        job: WorkerJob = ray.get(setup["job"])
        return job.train(job.config, job.payload, folder, worker, _sender(setup["events"]))
    except OCRError as error:
        kind = next(base for base in type(error).__mro__ if base.__module__ == errors.__name__)
        fault = {"error": kind.__name__, "message": str(unwrapped(error))}
        if isinstance(error, RayTaskError) and worker.world_size > 1:
            told = {**fault, "attempt": setup["attempt"]}
            folder.write(FAULT_FILE, json.dumps(told).encode())
            raise
        return fault


@contextmanager
def through_ray(
    local: Loader[TrainBatch, ValidationBatch], epochs: int, worker: Worker
) -> Iterator[RayData[TrainBatch, ValidationBatch]]:
    """Load a rank's data by Ray Data tasks, which leave training its cores."""
    trains_on_cpu = worker.device.type == "cpu"
    share = num_cores() / ray.train.get_context().get_local_world_size()
    data = RayData(
        local, epochs=epochs, cpus=share if trains_on_cpu else None, is_polite=trains_on_cpu
    )
    try:
        yield data
    finally:
        data.close()


def _sender(events: Queue) -> Report:
    def send(event: dict[str, Any]) -> None:
        with suppress(queue.Full, ray.exceptions.RayError):  # nobody may be watching any more
            events.put_nowait(event)

    return send


@contextmanager
def _relayed(events: Queue, report: Report) -> Iterator[None]:
    """Call `report` in this process for what the workers send, until the block ends."""
    is_over = threading.Event()

    def relay() -> None:
        while True:
            was_over = is_over.is_set()
            try:
                report(events.get(timeout=0.5))
            except Empty:
                if was_over:
                    return

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(timeout=10)
        events.shutdown()

"""Check a file for `serve run` and `serve deploy` before Ray has it.

uv run python -m serve.check serve/deploy.yaml
"""

import argparse
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from ocr_model.config import explain
from ocr_model.errors import OCRError
from ocr_model.inference.recognizer import Recognizer

from .config import ModelsConfig, serve_config
from .guards import TokenGuard
from .problems import fault_lines

_BUILDER = "serve.app:build"


def main() -> None:
    """Tell what is wrong, a line each, with status 2, or that nothing is."""
    parser = argparse.ArgumentParser(prog="serve.check", description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="such as serve/deploy.yaml")
    parser.add_argument(
        "--running",
        action="store_true",
        help="the port may be taken: the service that runs is changed",
    )
    options = parser.parse_args()
    faults = list(faults_of(options.file, is_running=options.running))
    for fault in faults:
        print(f"{options.file}: {fault}", file=sys.stderr)  # noqa: T201  # a command speaks so
    if faults:
        sys.exit(2)
    print(f"{options.file}: nothing is wrong")  # noqa: T201  # the same


def faults_of(path: Path, *, is_running: bool) -> Iterator[str]:
    """Say what would keep a file's application from starting here."""
    try:
        schema = ServeDeploySchema.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        yield " ".join(str(error).split())
        return
    except ValidationError as error:
        yield from fault_lines(error)
        return
    host, port = schema.http_options.host, schema.http_options.port
    if not is_running and (fault := _port_fault(host, port)):
        yield fault
    ours = [each for each in schema.applications if each.import_path == _BUILDER]
    if not ours:
        yield f"no application has import_path: {_BUILDER}"
    for application in ours:
        yield from _application_faults(application, host)


def _application_faults(application: ServeApplicationSchema, host: str) -> Iterator[str]:
    try:
        config = serve_config(application.args)
    except OCRError as error:
        yield from str(error).splitlines()
    else:
        try:
            TokenGuard(config.access, host)
        except OCRError as error:
            yield str(error)
    for deployment in application.deployments:
        if deployment.name == "words" and isinstance(deployment.user_config, dict):
            yield from _model_faults(deployment.user_config)


def _model_faults(user_config: dict[str, Any]) -> Iterator[str]:
    try:
        config = ModelsConfig.model_validate(user_config)
    except ValidationError as error:
        yield from (f"words.user_config: {line}" for line in explain(ModelsConfig, error))
        return
    for name, choice in config.models.items():
        try:
            Recognizer.load(choice.bundle, kind=choice.kind, device="cpu")
        except OCRError as error:
            yield f"words.user_config.models.{name}: {error}"


def _port_fault(host: str, port: int) -> str:
    """Say why nothing can listen there; Ray's proxies would share the port with another Ray's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of one that has just ended
        try:
            listener.bind((host, port))
        except OSError as error:
            return f"http_options: {host}:{port} cannot be listened on: {error.strerror}"
    return ""


if __name__ == "__main__":
    main()

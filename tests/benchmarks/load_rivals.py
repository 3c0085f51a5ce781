"""Whom the service is measured beside, each behind a minimal FastAPI application."""

import asyncio
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, Request


def _tesseract(verb: str) -> Callable[[bytes], str]:
    command = ["tesseract", "stdin", "stdout", "--psm", "8" if verb == "recognize" else "3"]

    def read(picture: bytes) -> str:
        done = subprocess.run(command, input=picture, capture_output=True, check=False)
        return done.stdout.decode()

    return read


def _rapidocr(verb: str) -> Callable[[bytes], str]:
    from rapidocr_onnxruntime import RapidOCR  # noqa: PLC0415  # only where it is installed

    engine = RapidOCR()

    def read(picture: bytes) -> str:
        found, _ = engine(picture, use_det=verb == "ocr", use_cls=verb == "ocr")
        return " ".join(each[-2] for each in found or [])

    return read


RIVALS = {"tesseract": _tesseract, "rapidocr": _rapidocr}
"""By name, what makes a function of a picture; it takes the verb."""


@contextmanager
def behind_fastapi(read: Callable[[bytes], str]) -> Iterator[str]:
    """Run a minimal application that answers with what is read; give its address."""
    app = FastAPI()

    @app.post("/{path:path}")
    async def answer(request: Request, path: str) -> dict[str, str]:
        del path
        return {"text": await asyncio.to_thread(read, await request.body())}

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])

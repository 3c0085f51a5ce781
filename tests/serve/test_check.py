import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve.check import faults_of

DEPLOY = Path(__file__).parents[2] / "serve" / "deploy.yaml"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, free_port: Callable[[], int]) -> Write:
    """Return a function of changes to the default file."""

    def make(args: dict[str, Any] | None = None, bundle: str = "compact", **http: object) -> Path:
        values = yaml.safe_load(DEPLOY.read_text())
        values["http_options"] |= {"port": free_port(), **http}
        (application,) = values["applications"]
        application["args"] = args or {}
        application["deployments"][0]["user_config"]["models"]["compact"]["bundle"] = bundle
        path = tmp_path / "deploy.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return path

    return make


def test_the_default_file_is_right(write: Write) -> None:
    assert list(faults_of(write(), is_running=False)) == []


def test_what_would_keep_a_service_from_starting_is_told_before_ray_has_it(write: Write) -> None:
    path = write({"pages": {"thread_alone": 3}, "limits": {"max_words": "abc"}}, "/no/bundle")
    settings, words, bundle = faults_of(path, is_running=False)
    assert "did you mean 'pages.threads_alone'" in settings
    assert words.startswith("limits.max_words: ")
    assert bundle.startswith("words.user_config.models.compact: ")
    (tokens,) = faults_of(write(host="0.0.0.0"), is_running=False)  # nothing is opened
    assert "no caller has a token" in tokens
    (port,) = faults_of(write(port="many"), is_running=False)
    assert port.startswith("http_options.port: ")


def test_a_port_that_is_taken_is_told_unless_the_service_is_to_be_changed(write: Write) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        path = write(port=other.getsockname()[1])
        (fault,) = faults_of(path, is_running=False)
        assert "cannot be listened on: Address already in use" in fault
        assert list(faults_of(path, is_running=True)) == []


@pytest.mark.parametrize("text", ["[", "applications: []", "\0"])
def test_a_file_that_is_none_is_told_in_a_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "deploy.yaml").write_text(text)
    (fault,) = faults_of(tmp_path / "deploy.yaml", is_running=True)
    assert "\n" not in fault

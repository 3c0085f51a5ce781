"""Commands that are told to a user, to be pasted into a shell."""

import json
import shlex
from collections.abc import Mapping

import yaml


def job_command(job: str, settings: Mapping[str, object]) -> str:
    """Return `uv run jobs/<job> --set ...`; what YAML would take for something else is quoted."""
    return shlex.join(["uv", "run", f"jobs/{job}", "--set", *settings_of_command(settings)])


def settings_of_command(settings: Mapping[str, object]) -> list[str]:
    """Return what follows `--set`: `name=value`, the value in YAML."""
    return [f"{name}={_as_yaml(value)}" for name, value in settings.items()]


def _as_yaml(value: object) -> str:
    quoted = json.dumps(value, ensure_ascii=False)
    try:
        is_plain = isinstance(value, str) and yaml.safe_load(value) == value
    except yaml.YAMLError:
        return quoted
    return str(value) if is_plain else quoted

"""What the entry points in jobs/ share: their command line, their beginning, and their end."""

import argparse
import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ocr_model.config import Config, describe, load_config
from ocr_model.errors import ConfigError, OCRError

ConfigT = TypeVar("ConfigT", bound=Config)

INTERRUPTED = 130
"""Exit status, as shells have it, of a command that Ctrl-C ended."""


def begin_job(
    cls: type[ConfigT], description: str, *, default_config: Path | None = None
) -> ConfigT:
    """Read the command line, and set up logging and what Ray reads when it is imported.

    Ray, and what imports it, is to be imported after this. `default_config` is the file that is
    read where none is named. Wrong settings end the process with status 2 and one clear message.
    """
    config = parse_command_line(cls, description, default_config=default_config)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may be no UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if "RAY_ADDRESS" not in os.environ:  # a local Ray needs no second environment for `uv run`
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    return config


def parse_command_line(
    cls: type[ConfigT],
    description: str,
    arguments: Sequence[str] | None = None,
    *,
    default_config: Path | None = None,
) -> ConfigT:
    """Read `--config PATH --set section.key=value ...`; `--help` lists every key.

    `arguments` defaults to those of the process; `default_config` is the file that is read where
    none is named. Exits with status 2 and one clear message when the settings are wrong.
    """
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="settings (section.key = default):\n" + "\n".join(describe(cls)),
    )
    parser.add_argument(
        "--config",
        metavar="PATH",
        default=default_config,
        help="YAML file; defaults apply where silent (default: %(default)s)",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        help="override one setting; may be repeated",
    )
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(f"unrecognized {unknown[0]}; settings are given as --set KEY=VALUE")
    try:
        return load_config(cls, options.config, options.overrides)
    except ConfigError as error:
        parser.exit(2, "".join(f"{parser.prog}: {line}\n" for line in str(error).splitlines()))


@contextmanager
def ending_in_one_line(*, interrupted: str = "Interrupted.") -> Iterator[None]:
    """End the process with status 1 and one line where our own error is met, 130 at Ctrl-C.

    `interrupted` says how what Ctrl-C leaves goes on.
    """
    try:
        yield
    except OCRError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.stderr.write(f"{interrupted}\n")
        sys.exit(INTERRUPTED)

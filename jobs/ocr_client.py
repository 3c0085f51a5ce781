"""Read files by a service: `python jobs/ocr_client.py --set input=FILE_OR_FOLDER`."""

import sys

from ocr_model.client.transcripts import ClientConfig, fetch
from ocr_model.config import parse_command_line
from ocr_model.errors import OCRError


def main() -> None:
    """Run the job; where a file cannot be read, its status is 1."""
    config = parse_command_line(ClientConfig, "Read images and PDFs by a service over HTTP.")
    num_failed = 0
    try:
        for answer in fetch(config):
            if answer.error:
                num_failed += 1
                print(f"{answer.source}: {answer.error}", file=sys.stderr)
            else:
                print(answer.text)
    except OCRError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    if num_failed:
        sys.exit(1)


if __name__ == "__main__":
    main()

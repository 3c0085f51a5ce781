"""Read files by a service: `python jobs/ocr_client.py --set input=FILE_OR_FOLDER`."""

import sys

from ocr_model.client.transcripts import ClientConfig, fetch
from ocr_model.entry_points import begin_job, ending_in_one_line


def main() -> None:
    """Run the job; where a file cannot be read, its status is 1."""
    config = begin_job(ClientConfig, "Read images and PDFs by a service over HTTP.")
    num_failed = 0
    with ending_in_one_line():
        for answer in fetch(config):
            if answer.error:
                num_failed += 1
                print(f"{answer.source}: {answer.error}", file=sys.stderr)
            else:
                print(answer.text)
    if num_failed:
        sys.exit(1)


if __name__ == "__main__":
    main()

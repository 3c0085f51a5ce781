"""Read images, PDFs or folders of them: `python jobs/read.py --set input=FILE_OR_FOLDER`."""

import logging
import sys

from ocr_model.config import parse_command_line
from ocr_model.errors import OCRError
from ocr_model.inference.transcripts import TranscribeConfig, transcribe
from ocr_model.inference.transcripts_console import TranscriptConsole


def main() -> None:
    """Run the job; where nothing can be read, its status is 1."""
    config = parse_command_line(TranscribeConfig, "Read the text of images and PDFs.")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        with TranscriptConsole(config) as console:
            for transcript in transcribe(config):
                console.show(transcript)
            console.summarize()
    except OCRError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    if not console.num_read:
        sys.exit(1)


if __name__ == "__main__":
    main()

"""Read images, PDFs or folders of them: `python jobs/read.py --set input=FILE_OR_FOLDER`."""

import sys

from ocr_model.entry_points import begin_job, ending_in_one_line
from ocr_model.inference.transcripts import TranscribeConfig, transcribe
from ocr_model.inference.transcripts_console import TranscriptConsole


def main() -> None:
    """Run the job; where nothing can be read, its status is 1."""
    config = begin_job(TranscribeConfig, "Read the text of images and PDFs.")
    with ending_in_one_line(), TranscriptConsole(config) as console:
        for transcript in transcribe(config):
            console.show(transcript)
        console.summarize()
    if not console.num_read:
        sys.exit(1)


if __name__ == "__main__":
    main()

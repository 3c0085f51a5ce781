from typing import get_args

import pytest

from ocr_model.inference.options import Orientations, ReadOptions
from ocr_model.inference.reader_config import ReadingConfig
from serve.messages import Orientation, WordOptions, WordOrientations
from serve.protocol import OcrQuery, RecognizeQuery


def test_words_and_pages_can_be_asked_for_in_every_way_that_the_library_reads() -> None:
    assert get_args(WordOrientations) == get_args(Orientations)
    assert get_args(Orientation) == get_args(ReadingConfig.model_fields["orientation"].annotation)


def test_what_is_not_asked_for_is_as_the_library_has_it() -> None:
    library = ReadOptions()
    for options in (WordOptions(), RecognizeQuery().word_options()):
        assert options.orientations == library.orientations
        assert options.characters == library.characters
        assert options.second_look_below == library.second_look_below
    assert OcrQuery().page_options().orientation == ReadingConfig().orientation
    assert ReadingConfig().second_look_below == library.second_look_below


def test_a_language_reaches_words_and_pages() -> None:
    assert RecognizeQuery(language="de").word_options().language == "de"
    assert OcrQuery(language="de").page_options().words.language == "de"
    assert OcrQuery(language="").page_options().words.language == ""
    assert OcrQuery().page_options().words.language is None


@pytest.mark.parametrize("orientations", get_args(WordOrientations))
def test_orientations_reach_the_recogniser(orientations: WordOrientations) -> None:
    query = RecognizeQuery(orientations=orientations, characters="0123456789")
    assert query.word_options() == WordOptions(characters="0123456789", orientations=orientations)

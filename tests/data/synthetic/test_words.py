import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from fontTools.subset import Subsetter
from fontTools.ttLib import TTFont

from ocr_model.config import load_config
from ocr_model.data.synthetic.fonts import FontCatalog, FontsConfig, load_fonts
from ocr_model.data.synthetic.lexicon import drawable_words
from ocr_model.data.synthetic.wording import load_texts
from ocr_model.data.synthetic.words import (
    ContentShares,
    LexiconConfig,
    TextSampler,
    is_validation_text,
)
from ocr_model.errors import ConfigError

KINDS = {
    "word": r"[A-Za-z]+",
    "number": r"0|[1-9]\d*",
    "code": r"[A-Z]+\d+|\d+[A-Z]+",
    "decimal": r"-?[\d,.]+",
    "price": r"[-$]?[\d,.]+(\$| USD|%)?",
    "date": r"[\w ./:-]+",
    "address": r".*[@.].*",
    "serial": r"\w+[^\w]\w+([^\w]\w+)?|\w+_\w+(_\w+)?",
    "phrase": r"[A-Za-z]+( [A-Za-z]+)+",
}


def _sampler(*overrides: str) -> TextSampler:
    config = load_config(LexiconConfig, None, list(overrides))
    return TextSampler(config, load_fonts(FontsConfig(system=False)))


def _draw(sampler: TextSampler, number: int, *, is_validation: bool = False) -> list[str]:
    rng = np.random.default_rng(0)
    return [sampler.draw(rng, is_validation=is_validation) for _ in range(number)]


def _only(kind: str) -> list[str]:
    return [f"shares.{name}={int(name == kind)}" for name in KINDS]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_text_looks_like_itself_and_is_in_the_alphabet(kind: str) -> None:
    sampler = _sampler(*_only(kind), "max_chars=24")
    texts = _draw(sampler, 300)
    assert all(re.fullmatch(KINDS[kind], text) for text in texts), texts
    assert max(map(len, texts)) <= 24
    assert set("".join(texts)) <= set(sampler.alphabet)
    assert len(set(texts)) > 100


def test_words_of_training_and_validation_are_never_the_same() -> None:
    sampler = _sampler("shares.phrase=1", "shares.address=0")
    trained = {w.lower() for t in _draw(sampler, 5000) for w in t.split()}
    unseen = {w.lower() for t in _draw(sampler, 5000, is_validation=True) for w in t.split()}
    assert all(len(text) < 3 and not text.isalpha() for text in trained & unseen)
    assert len(unseen) > 500


@pytest.mark.parametrize("word", ["straße", "ılık", "ŉ", "ὀδυσσεύς", "ﬁnden", "İstanbul"])
def test_a_word_is_of_one_part_in_whatever_case(word: str) -> None:
    forms = [f"{word}{n}" for n in range(100)]
    parts = [is_validation_text(form) for form in forms]
    assert any(parts)
    for change in (str.upper, str.lower, str.title, str.casefold):
        assert [is_validation_text(change(form)) for form in forms] == parts


def test_all_cases_are_drawn_as_often_as_asked() -> None:
    sampler = _sampler(
        *_only("word"), "case.upper=1", "case.lower=1", "case.title=0", "case.mixed=0"
    )
    texts = [text for text in _draw(sampler, 2000) if len(text) > 1]
    share = sum(text.isupper() for text in texts) / len(texts)
    assert all(text.isupper() or text.islower() for text in texts)
    assert 0.45 < share < 0.55


def test_punctuation_stands_behind_and_around_words() -> None:
    texts = _draw(_sampler(*_only("word"), "punctuation=1"), 500)
    assert not any(text.isalnum() for text in texts)
    assert any(text.startswith("(") and text.endswith(")") for text in texts)


def test_a_file_of_lines_is_a_lexicon(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\n".join(f"line {n}" for n in range(100)) + "\n\n", encoding="utf-8")
    texts = _draw(_sampler(*_only("word"), f"path={path}"), 200)
    assert {text.lower() for text in texts} <= {f"line {n}" for n in range(100)}


def test_a_lexicon_may_lie_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    words = {f"home{n}" for n in range(50)}
    (tmp_path / "words.txt").write_text("\n".join(words), encoding="utf-8")
    texts = _draw(_sampler(*_only("word"), "path='~/words.txt'"), 20)
    assert {text.lower() for text in texts} <= words


def test_words_that_cannot_be_drawn_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "words.txt"
    drawable = [f"word{n}" for n in range(100)]
    path.write_text("\n".join([*drawable, "漢字", "שלום", "x" * 99]), encoding="utf-8")
    _draw(_sampler(*_only("word"), f"path={path}"), 10)
    assert "100 of 103 words used (1 needs_shaping, 1 no_glyph, 1 too_long)" in caplog.text


def test_a_page_reads_its_lexicon_and_warns_of_it_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\n".join([*(f"word{n}" for n in range(100)), "漢字"]), encoding="utf-8")
    load_texts(LexiconConfig(path=str(path)), FontsConfig(system=False))
    assert caplog.text.count("100 of 101 words used") == 1


def test_a_lexicon_that_no_font_can_draw_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("漢字\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"only 0 of 1 words can be used \(1 no_glyph\)"):
        _sampler(f"path={path}")


def test_a_language_that_is_set_from_right_to_left_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"words can be used \(.* needs_shaping"):
        _sampler("languages=[ar]")


def test_few_words_that_are_short_enough_are_no_error() -> None:
    texts = _draw(_sampler(*_only("word"), "max_chars=2"), 20)
    assert max(map(len, texts)) <= 2


def test_an_empty_lexicon_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\n \n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"words\.txt has no words in it"):
        _sampler(f"path={path}")


def test_a_capital_of_several_letters_needs_all_of_them(tmp_path: Path) -> None:
    face = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    subset = Subsetter()
    subset.populate(text="weißEIABCWabc")  # the capital of ß is SS, and there is no S
    with TTFont(face) as font:
        subset.subset(font)
        font.save(tmp_path / "Some-Regular.ttf")
    fonts = FontCatalog([tmp_path / "Some-Regular.ttf"])
    assert drawable_words(("weiß", "weib", "abc"), fonts, 20) == ("weib", "abc")


def test_a_lexicon_too_small_for_both_parts_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("one\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="none of its 1 words is for validation"):
        _sampler(f"path={path}")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["path=/nowhere.txt"], "lexicon.path /nowhere.txt"),
        (["languages=[xx]"], r"languages\.0: no words of language 'xx'; there are ar, "),
        (["max_chars=33"], "max_chars"),
        (["path=a.txt", "languages=[de]"], "languages has no effect where the words come from"),
        (["path=a.txt", "size=9"], "size has no effect"),
    ],
)
def test_wrong_settings_are_errors(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _sampler(*overrides)


def test_all_shares_of_nothing_are_an_error() -> None:
    with pytest.raises(ConfigError, match="shares: all are 0, so there is nothing to draw"):
        _sampler(*(f"shares.{name}=0" for name in KINDS))


def test_a_kind_of_share_0_is_never_drawn_and_the_others_as_often_as_asked() -> None:
    shares = ContentShares(word=3, number=0, code=1, phrase=0)
    rng = np.random.default_rng(0)
    drawn = Counter(shares.draw(rng) for _ in range(4000))
    assert drawn.keys() == {"word", "code"}
    assert 2900 < drawn["word"] < 3100


@pytest.mark.parametrize(("number", "kind"), [(0.0, "number"), (1 - 2**-53, "code")])
def test_the_least_and_the_largest_number_draw_a_kind(number: float, kind: str) -> None:
    class Stuck(np.random.Generator):
        def random(self, *_: object) -> float:
            return number

    shares = ContentShares(word=0, number=2, code=1)
    assert shares.draw(Stuck(np.random.PCG64(0))) == kind


def test_accented_words_keep_their_accents() -> None:
    texts = _draw(_sampler(*_only("word"), "languages=[de]", "case.upper=0"), 2000)
    assert any("ü" in text for text in texts)


@pytest.mark.parametrize("kind", KINDS)
def test_texts_like_another_have_its_length_and_kind(kind: str) -> None:
    sampler = _sampler(*_only(kind), "max_chars=24")
    rng = np.random.default_rng(0)
    for text in _draw(sampler, 50):
        alike = sampler.draw_of_kind(kind, rng, is_validation=False, like=text)
        assert len(alike) == len(text)
        assert re.fullmatch(KINDS[kind], alike)


def test_a_kind_that_never_fits_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"kind address has at most data\.lexicon\.max_chars=3"):
        _draw(_sampler(*_only("address"), "max_chars=3"), 1)


def test_every_short_number_is_trained_on_and_validated() -> None:
    sampler = _sampler(*_only("number"))
    for is_validation in (False, True):
        texts = set(_draw(sampler, 3000, is_validation=is_validation))
        assert texts >= set("0123456789")
    long = [
        {text for text in _draw(sampler, 3000, is_validation=part) if len(text) > 2}
        for part in (False, True)
    ]
    assert long[0].isdisjoint(long[1])


@pytest.mark.parametrize(
    ("case", "form"), [("lower", str.lower), ("title", str.capitalize), ("upper", str.upper)]
)
def test_the_case_is_that_asked_for_whatever_the_file_has(
    case: str, form: Callable[[str], str], tmp_path: Path
) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\n".join(f"HARBOUR{chr(65 + n)}x" for n in range(26)))
    cases = [f"case.{name}={int(name == case)}" for name in ("lower", "title", "upper", "mixed")]
    texts = _draw(_sampler(f"path={path}", *_only("word"), *cases), 50)
    assert texts == [form(text) for text in texts]

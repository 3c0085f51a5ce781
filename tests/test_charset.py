import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.charset import BLANK, EOS, PAD, SOS, UNK, Charset, Normalization, normalize
from ocr_model.errors import CharsetError


@pytest.mark.parametrize(
    ("policy", "text", "expected"),
    [
        (Normalization.ALPHANUMERIC, "Café-No. 7!", "CafeNo7"),
        (Normalization.ALPHANUMERIC, "Straße Łódź", "StrasseLodz"),
        (Normalization.ALPHANUMERIC, "ﬁne ＡＢ１", "fineAB1"),
        (Normalization.ALPHANUMERIC, "日本", ""),
        (Normalization.PRINTABLE, "“it’s” – 3×4", '"it\'s" - 3x4'),
        (Normalization.PRINTABLE, "  a\t\nb  ", "a b"),
        (Normalization.PRINTABLE, "日 a 日 b", "a b"),
        (Normalization.UNICODE, "e\u0301te\u0301", "été"),
        (Normalization.UNICODE, "a\u00a0\u2003b\n", "a b"),
        (Normalization.UNICODE, "co\u00adop\u200bera\u0000te", "cooperate"),
        (Normalization.UNICODE, "日本 ﬁ", "日本 fi"),
    ],
)
def test_each_policy_keeps_what_it_says(policy: Normalization, text: str, expected: str) -> None:
    assert normalize(text, policy) == expected


@settings(deadline=None, database=None)
@given(st.text(), st.sampled_from(Normalization))
def test_normalised_text_is_not_changed_again(text: str, policy: Normalization) -> None:
    once = normalize(text, policy)
    assert normalize(once, policy) == once


@settings(deadline=None, database=None)
@given(st.text())
def test_printable_text_has_printable_ascii_and_single_blanks(text: str) -> None:
    printable = normalize(text, Normalization.PRINTABLE)
    assert printable.isascii()
    assert printable.isprintable()
    assert printable == " ".join(printable.split())


def test_class_ids_follow_the_special_tokens_in_code_point_order() -> None:
    charset = Charset.from_labels(["ba", "c1", "a"])
    assert charset.characters == "1abc"
    assert (PAD, UNK, SOS, EOS, BLANK) == (0, 1, 2, 3, 4)
    assert charset.num_classes == 9
    assert charset.encode("1c") == [5, 8]


@settings(deadline=None, database=None)
@given(st.lists(st.text(min_size=1), min_size=1))
def test_labels_of_a_charset_come_back_from_their_class_ids(labels: list[str]) -> None:
    charset = Charset.from_labels(labels)
    assert [charset.decode(charset.encode(label)) for label in labels] == labels


def test_unknown_characters_are_all_named() -> None:
    with pytest.raises(CharsetError, match=r"'!' \(U\+0021\) 'é' \(U\+00E9\)"):
        Charset("abc").encode("aé!é")


def test_unknown_characters_become_a_token_where_allowed() -> None:
    assert Charset("abc").encode("aéb", allow_unknown=True) == [5, UNK, 6]


def test_special_tokens_are_left_out_of_the_text() -> None:
    assert Charset("abc").decode([SOS, 5, BLANK, 7, UNK, EOS, PAD]) == "ac"


@pytest.mark.parametrize("class_id", [-1, 8])
def test_an_id_that_is_no_class_is_an_error(class_id: int) -> None:
    with pytest.raises(CharsetError, match=rf"\[{class_id}\] are outside 0\.\.7"):
        Charset("abc").decode([5, class_id])


def test_a_charset_needs_characters() -> None:
    with pytest.raises(CharsetError, match="got 0"):
        Charset.from_labels(["", ""])


def test_repeated_characters_are_named() -> None:
    with pytest.raises(CharsetError, match=r"repeated: \['a', 'b'\]"):
        Charset("abcab")

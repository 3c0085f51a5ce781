import pytest

from ocr_model.inference.bulk.reading import _below


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/b.png", "a/b.png"),
        ("words.tar/../../x.png", "words.tar/%2E%2E/%2E%2E/x.png"),
        ("../x.png", "%2E%2E/x.png"),
        ("a/./..b/c..", "a/%2E/..b/c.."),
    ],
)
def test_files_of_outputs_stay_in_their_folder(path: str, expected: str) -> None:
    assert _below(path) == expected

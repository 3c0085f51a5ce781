import shutil
import string
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from ocr_model.data.synthetic.colours import load_photos
from ocr_model.data.synthetic.fonts import Face, FontsConfig, load_fonts
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.errors import ConfigError

SHIPPED = Path(mpl.get_data_path()) / "fonts" / "ttf"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf"):
        shutil.copy(SHIPPED / name, tmp_path)
    return tmp_path


def _only(folder: Path) -> FontsConfig:
    return FontsConfig(packages=False, system=False, folders=(str(folder),))


def test_a_folder_may_lie_in_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load_fonts(_only(Path("~") / folder.name)).num_faces == 3


def test_photographs_may_lie_in_the_home_folder(
    tmp_path: Path, plain_picture: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "red.png").write_bytes(plain_picture("red"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load_photos("~/photos")) == 1
    uris = []
    for name in (None, "~/photos"):
        settings = {"renderer": {"fonts": {"system": False}, "surface": {"photos": name}}}
        uris.append(SyntheticSource.model_validate(settings).fragments("train")[0].uri)
    assert uris[0] != uris[1]


def test_a_bare_machine_has_forty_faces_that_draw_all_of_ascii() -> None:
    fonts = load_fonts(FontsConfig(system=False))
    ascii_chars = string.digits + string.ascii_letters + string.punctuation
    able = [face for face in fonts.faces if face.can_draw(ascii_chars)]
    assert len(able) >= 40


def test_system_fonts_are_added_and_none_twice() -> None:
    packaged, both = load_fonts(FontsConfig(system=False)), load_fonts(FontsConfig())
    assert both.num_faces >= packaged.num_faces
    stems = [face.path.stem for face in both.faces]
    assert len(stems) == len(set(stems))


def test_a_family_counts_once_whatever_its_number_of_faces(folder: Path) -> None:
    fonts, rng = load_fonts(_only(folder)), np.random.default_rng(0)
    names = [_drawn(fonts.draw_face("a", rng)) for _ in range(300)]
    assert 120 < names.count("DejaVuSerif") < 180


def _drawn(face: Face | None) -> str:
    assert face is not None
    return face.path.stem


def test_a_face_without_the_glyphs_is_passed_over(folder: Path) -> None:
    fonts, rng = load_fonts(_only(folder)), np.random.default_rng(0)
    assert {_drawn(fonts.draw_face("ب", rng)) for _ in range(50)} <= {
        "DejaVuSans",
        "DejaVuSans-Bold",
    }
    assert fonts.draw_face("漢", rng) is None
    assert not fonts.can_draw("漢")


def test_a_file_that_is_no_font_is_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "Broken-Regular.ttf").write_bytes(b"not a font")
    fonts, rng = load_fonts(_only(folder)), np.random.default_rng(0)
    assert "Broken-Regular" not in {_drawn(fonts.draw_face("a", rng)) for _ in range(100)}
    assert "Broken-Regular.ttf is left out" in caplog.text


def test_small_letters_are_not_drawn_in_faces_of_capitals() -> None:
    faces = {face.path.stem: face for face in load_fonts(FontsConfig(system=False)).faces}
    assert not faces["AmaticSC-Bold"].can_draw("a")
    assert faces["AmaticSC-Bold"].can_draw("A 1")
    assert faces["Roboto-Bold"].can_draw("a")


def test_faces_of_placeholders_draw_nothing() -> None:
    assert not Face(SHIPPED / "LastResortHE-Regular.ttf").can_draw("a")


def test_the_digest_names_the_set_of_files(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("fonts")
    shutil.copytree(folder, elsewhere, dirs_exist_ok=True)
    assert load_fonts(_only(folder)).digest == load_fonts(_only(elsewhere)).digest
    (elsewhere / "DejaVuSerif.ttf").unlink()
    load_fonts.cache_clear()
    assert load_fonts(_only(folder)).digest != load_fonts(_only(elsewhere)).digest


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (FontsConfig(packages=False, system=False), "no fonts"),
        (FontsConfig(folders=("/nowhere",)), "/nowhere is not a folder"),
    ],
)
def test_no_fonts_are_an_error(config: FontsConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_fonts(config)


def test_a_folder_without_fonts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no \.ttf or \.otf file"):
        load_fonts(_only(tmp_path))


def test_files_of_which_none_is_a_font_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "Broken-Regular.ttf").write_bytes(b"not a font")
    with pytest.raises(ConfigError, match=r"none of 1 files .* can draw the letter a"):
        load_fonts(_only(tmp_path))


def test_kerning_moves_pairs_together() -> None:
    face = Face(SHIPPED / "DejaVuSans.ttf")
    assert face.kerning("A", "V") < 0
    assert face.kerning("H", "H") == 0


def test_the_ink_of_a_glyph_is_told_from_its_cell() -> None:
    glyph = Face(SHIPPED / "DejaVuSans.ttf").glyph("l")
    left, top, right, bottom = glyph.ink
    assert glyph.mask[top:bottom, left:right].min(axis=0).max() > 200
    assert not glyph.mask[:, : left - 1].any()
    assert right - left < 0.6 * glyph.mask.shape[1]

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import Field, PositiveInt, ValidationError

from ocr_model.config import Config, describe, load_config
from ocr_model.errors import ConfigError


class Square(Config):
    kind: Literal["square"] = "square"
    side: PositiveInt = 2


class Circle(Config):
    kind: Literal["circle"] = "circle"
    radius: float = 1.0


class Paint(Config):
    colour: str | None = "red"
    """Share of 100% pigment."""
    layers: PositiveInt = 1
    tints: tuple[str, ...] = ()


class Drawing(Config):
    title: str = "untitled"
    shape: Annotated[Square | Circle, Field(discriminator="kind")] = Square()
    paint: Paint = Paint()


class Framed(Config):
    width: int
    shape: Annotated[Square | Circle, Field(discriminator="kind")]


GREEN = Paint(layers=5, colour="green")


class House(Config):
    drawing: Drawing = Drawing(shape=Square(side=7), paint=GREEN)

    @cached_property
    def price(self) -> int:
        return 1


class Street(Config):
    house: House = House()


def _write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_defaults_hold_where_nothing_is_said() -> None:
    assert load_config(Drawing) == Drawing()


def test_an_override_wins_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    path = _write(tmp_path, "title: file\npaint:\n  layers: 3\n  colour: blue\n")
    drawing = load_config(Drawing, path, ["paint.layers=4"])
    assert drawing == Drawing(title="file", paint=Paint(layers=4, colour="blue"))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("paint.colour=null", Paint(colour=None)),
        ("paint.colour=", Paint(colour="")),
        ("paint.colour=a=b", Paint(colour="a=b")),
        ("paint.tints=[a, b]", Paint(tints=("a", "b"))),
        ("paint.layers=3", Paint(layers=3)),
        ("paint={layers: 5}", Paint(layers=5)),
    ],
)
def test_values_of_overrides_are_read_as_yaml(override: str, expected: Paint) -> None:
    assert load_config(Drawing, None, [override]).paint == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("paint.layer=3", r"paint\.layer: unknown setting; did you mean 'paint\.layers'"),
        ("tilte=x", r"tilte: unknown setting; did you mean 'title'"),
        ("pant.layers=3", r"pant: unknown setting; did you mean 'paint'"),
        ("layers=3", r"layers: unknown setting; did you mean 'paint\.layers'"),
        ("shape.sid=3", r"shape\.sid: unknown setting; did you mean 'shape\.side'"),
        ("paint.zzz=3", r"paint\.zzz: unknown setting; --help lists the known ones"),
        ("paint.layers=0", r"paint\.layers: .*greater than 0, got 0"),
        ("paint.layers=many", r"paint\.layers: .*integer.*, got 'many'"),
        ("shape.kind=star", r"shape\.kind: 'star' is none of square, circle"),
        ("shape=star", r"shape: has settings of its own, got 'star'"),
        ("paint=3", r"paint: has settings of its own, got 3"),
        ("paint.tints=red", r"paint\.tints: takes a list, as \[a, b\], got 'red'"),
        ("paint.layers", r"--set takes section\.key=value, got 'paint\.layers'"),
        ("=3", r"--set takes section\.key=value, got '=3'"),
        ("title.size=3", r"title: .*string"),
        ("paint.tints=[a", r"the value in 'paint\.tints=\[a' is not valid YAML"),
    ],
)
def test_a_wrong_override_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(Drawing, None, [override])


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(Drawing, None, ["paint.layers=0", "tilte=x"])
    assert len(str(caught.value).splitlines()) == 2


def test_a_section_without_a_line_is_the_default(tmp_path: Path) -> None:
    path = _write(tmp_path, "paint:\nshape:\n  # side: 3\n")
    assert load_config(Drawing, path) == Drawing()
    assert load_config(Drawing, path, ["paint.layers=4"]).paint == Paint(layers=4)
    assert load_config(Drawing, path, ["shape.kind=circle"]).shape == Circle()


def test_faults_of_yaml_are_told_in_one_line(tmp_path: Path) -> None:
    path = _write(tmp_path, "title: [\npaint: x")
    for arguments in ((path, []), (None, ["paint.tints=[a"])):
        with pytest.raises(ConfigError, match="is not valid YAML") as caught:
            load_config(Drawing, *arguments)
        assert "\n" not in str(caught.value)


def test_an_override_cannot_enter_a_value_as_a_section(tmp_path: Path) -> None:
    path = _write(tmp_path, "title: file\n")
    with pytest.raises(ConfigError, match=r"title\.size: 'title' holds a value, not a section"):
        load_config(Drawing, path, ["title.size=3"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read config .*none\.yaml: No such file"):
        load_config(Drawing, tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "must hold a mapping of settings, got list"),
        ("just words", "must hold a mapping of settings, got str"),
        ("title: [", "is not valid YAML"),
    ],
)
def test_a_file_that_holds_no_settings_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(Drawing, _write(tmp_path, text))


def test_a_binary_file_is_no_config(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"config .*weights\.bin is not text in UTF-8"):
        load_config(Drawing, path)


def test_an_empty_file_leaves_the_defaults(tmp_path: Path) -> None:
    assert load_config(Drawing, _write(tmp_path, "# nothing yet\n")) == Drawing()


def test_a_section_that_does_not_say_its_kind_is_of_the_defaults(tmp_path: Path) -> None:
    assert load_config(Drawing, None, ["shape.side=7"]).shape == Square(side=7)
    assert load_config(Drawing, _write(tmp_path, "shape:\n  side: 8\n")).shape == Square(side=8)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("drawing.title=sky", Drawing(title="sky", shape=Square(side=7), paint=GREEN)),
        (
            "drawing.paint.tints=[a]",
            Drawing(shape=Square(side=7), paint=GREEN.replace(tints=["a"])),
        ),
        ("drawing.shape.side=3", Drawing(shape=Square(side=3), paint=GREEN)),
        ("drawing.shape.kind=circle", Drawing(shape=Circle(), paint=GREEN)),
    ],
)
def test_one_setting_of_a_section_leaves_the_others_as_its_owner_has_them(
    override: str, expected: Drawing
) -> None:
    assert load_config(House, overrides=[override]).drawing == expected


def test_what_a_default_has_computed_is_no_setting() -> None:
    assert Street().house.price == 1
    street = load_config(Street, overrides=["house.drawing.title=sky"])
    assert street.house.drawing.title == "sky"


def test_a_required_section_must_say_its_kind() -> None:
    with pytest.raises(ConfigError, match=r"shape: .*discriminator 'kind'"):
        load_config(Framed, None, ["width=3", "shape.side=7"])
    assert load_config(Framed, None, ["width=3", "shape.kind=circle"]).shape == Circle()


@pytest.mark.parametrize("file_says_its_kind", [True, False])
def test_another_kind_drops_what_the_file_said_about_the_former(
    tmp_path: Path, file_says_its_kind: bool
) -> None:
    kind = "  kind: square\n" if file_says_its_kind else ""
    path = _write(tmp_path, f"title: file\nshape:\n{kind}  side: 5\n")
    drawing = load_config(Drawing, path, ["shape.kind=circle", "shape.radius=3"])
    assert drawing == Drawing(title="file", shape=Circle(radius=3.0))


def test_another_kind_of_an_inner_section_drops_what_the_file_said_too(tmp_path: Path) -> None:
    path = _write(tmp_path, "drawing:\n  title: file\n  shape: {side: 3}\n")
    house = load_config(House, path, ["drawing.shape.kind=circle"])
    assert house.drawing == Drawing(title="file", shape=Circle(), paint=GREEN)


def test_another_kind_keeps_overrides_that_stand_before_it(tmp_path: Path) -> None:
    path = _write(tmp_path, "shape:\n  kind: square\n  side: 5\n")
    drawing = load_config(Drawing, path, ["shape.radius=3", "shape.kind=circle"])
    assert drawing.shape == Circle(radius=3.0)


def test_the_same_kind_again_keeps_what_the_file_said(tmp_path: Path) -> None:
    path = _write(tmp_path, "shape:\n  side: 5\n")
    assert load_config(Drawing, path, ["shape.kind=square"]).shape == Square(side=5)


def test_settings_come_back_from_their_yaml(tmp_path: Path) -> None:
    drawing = Drawing(title="ünï: #1", shape=Circle(radius=1e-7), paint=Paint(colour=None))
    assert load_config(Drawing, _write(tmp_path, drawing.to_yaml())) == drawing
    assert list(yaml.safe_load(drawing.to_yaml())) == ["title", "shape", "paint"]


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Drawing().title = "other"  # type: ignore[misc]  # what is tested


def test_a_changed_copy_is_validated() -> None:
    assert Drawing().replace(title="other") == Drawing(title="other")
    with pytest.raises(ValidationError, match="greater than 0"):
        Paint().replace(layers=0)


def test_every_key_is_described_with_its_default() -> None:
    shown = "\n".join(describe(Drawing))
    for line in (
        'title = "untitled"',
        "-- shape: Square",
        "shape.side = 2",
        "-- shape: Circle",
        "shape.radius = 1.0",
        'paint.colour = "red"',
        "Share of 100% pigment.",
        "paint.tints = []",
    ):
        assert line in shown


def test_a_setting_without_a_default_is_shown_as_required() -> None:
    assert "  width = (required)" in list(describe(Framed))

import base64

import jinja2
import pytest

from ocr_model.visualize.report_page import render_page

BLOCKS = """
{% block title %}Of {{ name }}{% endblock %}
{% block content %}{{ table(rows, titles) }}{{ table(rows) }}{{ picture(png, name) }}{% endblock %}
"""
VALUES = {"name": "<a&b>", "rows": [("x<y", 1)], "titles": ["<t>", "n"], "png": b"\x89PNG"}


def test_markup_in_values_is_shown_and_not_obeyed() -> None:
    page = render_page(BLOCKS, **VALUES).decode()
    assert "<title>Of &lt;a&amp;b&gt;</title>" in page
    assert page.count("<td>x&lt;y</td><td>1</td>") == 2
    assert page.count("<th>&lt;t&gt;</th><th>n</th>") == 1


def test_pictures_lie_inside_the_page() -> None:
    encoded = base64.b64encode(b"\x89PNG").decode()
    picture = f'<img alt="&lt;a&amp;b&gt;" src="data:image/png;base64,{encoded}">'
    assert picture in render_page(BLOCKS, **VALUES).decode()


def test_a_value_that_is_forgotten_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="titles"):
        render_page(BLOCKS, **{name: VALUES[name] for name in ("name", "rows", "png")})

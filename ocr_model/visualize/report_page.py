"""The page that every report is: HTML that opens from disk, its pictures inside."""

import base64

import jinja2

_FRAME = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{% block title %}{% endblock %}</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto;
    padding: 0 1rem; }
  img { max-width: 100%; background: white; border-radius: 6px; }
  table { border-collapse: collapse; margin: 1rem 0; }
  th, td { padding: .25rem .9rem .25rem 0; text-align: right; font-variant-numeric: tabular-nums; }
  th:first-child, td:first-child { text-align: left; }
  tr { border-bottom: 1px solid #8884; }
  pre { overflow: auto; padding: 1rem; background: #8882; border-radius: 6px; }
  code { overflow-wrap: anywhere; }
</style>
{% block content %}{% endblock %}
</html>
"""

_PARTS = """
{%- macro picture(png, alt) -%}
<p><img alt="{{ alt }}" src="data:image/png;base64,{{ png|base64 }}"></p>
{%- endmacro %}

{%- macro table(rows, titles=()) -%}
<table>
  {%- if titles %}
  <tr>{% for title in titles %}<th>{{ title }}</th>{% endfor %}</tr>
  {%- endif %}
  {%- for row in rows %}
  <tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
  {%- endfor %}
</table>
{%- endmacro %}"""

_EXTENDS = '{% extends "frame" %}{% from "parts" import picture, table %}'


def render_page(blocks: str, **values: object) -> bytes:
    """Return a page with one look for all reports.

    Args:
        blocks: Jinja's blocks `title` and `content`. Both know the macros
            `picture(png, alt)` and `table(rows, titles=())`; markup in values is escaped.
        values: What the blocks name.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.DictLoader({"frame": _FRAME, "parts": _PARTS}),
    )
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    return environment.from_string(_EXTENDS + blocks).render(values).encode()

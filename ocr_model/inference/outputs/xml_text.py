"""Text as XML takes it."""

import re
from xml.etree import ElementTree

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2


def allowed(text: str) -> str:
    """Put U+FFFD in the place of what XML has no way to write: control characters, surrogates."""
    return _FORBIDDEN.sub("\ufffd", text)


def to_bytes(root: ElementTree.Element, head: str = "") -> bytes:
    """Return a document in UTF-8, indented, with `head` behind the XML declaration."""
    ElementTree.indent(root, " ")
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}{text}\n'.encode()

"""Renders an HTML page as PDF with selectable text, for people without a browser."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from fontTools.ttLib import TTFont
from fpdf import FPDF
from fpdf.fonts import FontFace

_FONTS = Path(__file__).parent / "fonts"
_REGULAR = _FONTS / "TermijnSans.ttf"
_BOLD = _FONTS / "TermijnSans-Bold.ttf"
_FAMILY = "TermijnSans"
_HEAD = re.compile(r"\A<!doctype.*?</head>|</html>\s*\Z", re.DOTALL | re.IGNORECASE)
_UNKNOWN = "\ufffd"


def render_pdf(html: str, *, title: str, language: str, at: datetime) -> bytes:
    """Return a page as PDF; a character without a glyph is shown as a mark, and is in the page itself."""
    document = FPDF(format="A4")
    document.set_lang(language)
    document.set_title(title)
    document.set_creation_date(at)
    document.set_margin(15)
    document.add_font(_FAMILY, "", _REGULAR)
    document.add_font(_FAMILY, "B", _BOLD)
    document.set_font(_FAMILY, size=10)
    document.add_page()
    document.write_html(
        _printable(_HEAD.sub("", html)),
        tag_styles={
            name: FontFace(family=_FAMILY, emphasis="BOLD", size_pt=size)
            for name, size in (("h1", 18), ("h2", 14), ("h3", 12), ("h4", 10))
        },
    )
    return bytes(document.output())


def _printable(text: str) -> str:
    """Return the text with a mark for each character without a glyph: fpdf2 would log the character."""
    glyphs = _glyphs()
    return "".join(char if char in "\n\t" or ord(char) in glyphs else _UNKNOWN for char in text)


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    with TTFont(_REGULAR) as font:
        return frozenset(font.getBestCmap())

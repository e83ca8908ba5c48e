"""A document as Markdown and as HTML shows its texts as they are."""

from __future__ import annotations

from services.policy.documents.document import (
    BulletList,
    Document,
    Section,
    Table,
    write_document,
)

DOCUMENT = Document(
    title="Data <of> A & B",
    language="en",
    blocks=("1. not *a* list",),
    sections=(
        Section(
            heading="Terms",
            blocks=(
                Table(columns=("kept", "why"), rows=(("a | <b>", "two\nlines"),)),
                BulletList(items=("# one", "<script>alert('x')</script>")),
            ),
        ),
    ),
)


def test_markdown_escapes_what_would_be_markup() -> None:
    """Cells stay cells, and a line is not a list or a heading because of its first letter."""
    assert write_document(DOCUMENT, "markdown") == (
        "# Data \\<of\\> A \\& B\n\n"
        "1\\. not \\*a\\* list\n\n"
        "## Terms\n\n"
        "| kept | why |\n| --- | --- |\n| a \\| \\<b\\> | two lines |\n\n"
        "- \\# one\n- \\<script\\>alert('x')\\</script\\>\n"
    )


def test_html_escapes_every_text() -> None:
    """Titles, paragraphs, cells and items."""
    html = write_document(DOCUMENT, "html")
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">\n')
    body = html.partition("<body>\n")[2]
    assert body == (
        "<h1>Data &lt;of&gt; A &amp; B</h1>\n"
        "<p>1. not *a* list</p>\n"
        "<h2>Terms</h2>\n"
        "<table>\n<thead><tr><th>kept</th><th>why</th></tr></thead>\n"
        "<tbody>\n<tr><td>a | &lt;b&gt;</td><td>two\nlines</td></tr>\n</tbody>\n</table>\n"
        "<ul>\n<li># one</li>\n<li>&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;</li>\n</ul>\n"
        "</body>\n</html>\n"
    )

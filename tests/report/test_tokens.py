"""Tokens in colour and as a table: nothing of the text is lost, colours follow class and weight."""

from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN
from duolearn_cli.report.tokens import TokenView, coloured, token_table

VIEWS = [
    TokenView("Is", NEUTRAL, 1.0),
    TokenView(" hernia", UNLEARN, 2.0, "hernia", 4, -3.21),
    TokenView(" pain", PRESERVE, 1.0, "pain", 2, 0.5),
    TokenView(" [b]sharp", PRESERVE, 2.0, "pain", 2),
]


def test_the_coloured_text_is_the_text():
    text = coloured(VIEWS)
    assert text.plain == "Is hernia pain [b]sharp"
    styles = [str(span.style) for span in text.spans]
    assert styles == ["white on #d55e00", *styles[1:]] and len(set(styles)) == 3
    assert "#0072b2" not in styles[1] and "#0072b2" in styles[2]


def test_the_table_needs_no_colour():
    rows = token_table(VIEWS).rows
    assert rows[1] == ("' hernia'", "U", "hernia", "4", "2.00", "-3.21")
    assert rows[3][-1] == "—" and [row[1] for row in rows] == ["N", "U", "P", "P"]
    assert len(token_table(VIEWS[:1]).header) == 5

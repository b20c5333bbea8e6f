"""The generated part of a page."""

import pytest

from compression.pages import Section

SECTION = Section("<!-- begin -->", "<!-- end -->")


def test_what_was_there_is_replaced_and_nothing_else() -> None:
    page = "# Words\n\n<!-- begin -->\nold\n<!-- end -->\n\nafter\n"
    once = SECTION.put(page, "| new |\n")
    assert once == "# Words\n\n<!-- begin -->\n\n| new |\n\n<!-- end -->\n\nafter\n"
    assert SECTION.put(once, "| new |") == once
    assert SECTION.of(once) == "| new |"


@pytest.mark.parametrize("page", ["", "<!-- begin -->", "<!-- end -->\n<!-- begin -->\n"])
def test_page_without_both_marks_in_order_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="no lines <!-- begin --> and <!-- end -->"):
        SECTION.put(page, "new")

"""Numbers as people read them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.template import Context, Template

from fleet.dashboards import formats

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def plain(text: str) -> str:
    """With ordinary spaces in place of those that keep a number in one piece."""
    return text.replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "\u2013"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (34_120, "34.1 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),  # never 1000.0 kB
        (1_200_000, "1.2 MB"),
        (2_500_000_000, "2.5 GB"),
        (3 * 10**18, "3000.0 PB"),
    ],
)
def test_bytes_are_powers_of_a_thousand(count: int | None, text: str) -> None:
    assert plain(formats.bytes_text(count)) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "\u2013"),
        (Decimal(0), "0.00 EUR"),
        (Decimal("0.00001"), "< 0.0001 EUR"),
        (Decimal("0.0063"), "0.0063 EUR"),
        (Decimal("0.05613"), "0.056 EUR"),
        (Decimal("0.589"), "0.59 EUR"),
        (Decimal("1234.5"), "1 234.50 EUR"),
    ],
)
def test_money_has_cents_and_more_where_it_is_little(amount: Decimal | None, text: str) -> None:
    assert plain(formats.money_text(amount, "EUR")) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(None, "\u2013"), (120_000, "0.120 ms"), (2_150_000, "2.15 ms"), (21_500_000, "21.5 ms"), (215_000_000, "215 ms")],
)
def test_latency_has_three_digits(nanoseconds: int | None, text: str) -> None:
    assert plain(formats.ms_text(nanoseconds)) == text


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(seconds=2), "just now"),
        (timedelta(seconds=40), "40 s ago"),
        (timedelta(minutes=3), "3 min ago"),
        (timedelta(hours=30), "30 h ago"),
        (timedelta(days=19), "19 d ago"),
        (timedelta(minutes=-10), "in 10 min"),
    ],
)
def test_moment_is_told_from_now(ago: timedelta, text: str) -> None:
    assert formats.relative_text(NOW - ago, NOW) == text


@pytest.mark.parametrize(
    ("text", "tick"),
    [("500.0 kB", "500 kB"), ("200.00", "200"), ("0.50", "0.50"), ("1.2 MB", "1.2 MB"), ("1000", "1000")],
)
def test_ticks_drop_decimals_that_say_nothing(text: str, tick: str) -> None:
    assert formats.tick_text(text) == tick


def test_metric_reads_as_percent_only_where_it_is_a_share() -> None:
    assert plain(formats.metric_text(0.9833, "top1-accuracy")) == "98.3 %"
    assert formats.metric_text(12.3456, "perplexity") == "12.35"
    assert formats.metric_text(None, "accuracy") == "\u2013"


def test_errors_and_losses_are_better_when_lower() -> None:
    assert formats.higher_is_better("accuracy")
    assert not formats.higher_is_better("top5-error")
    assert not formats.higher_is_better("wer")


def test_moment_in_a_page_carries_its_exact_time() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    html = Template("{% load dashboards %}{{ moment|since }}{{ never|since }}").render(
        Context({"moment": moment, "never": None})
    )
    assert 'title="2026-01-02 03:04:05 UTC"' in html
    assert "never" in html


def test_bar_of_shares_is_to_scale_named_and_without_styles() -> None:
    parts = [("good", "succeeded", 3), ("bad", "failed <b>", 1), ("open", "open", 0)]
    html = Template("{% load dashboards %}{% shares 'Progress' parts %}").render(Context({"parts": parts}))
    assert 'width="75.000"' in html
    assert 'x="75.000"' in html
    assert 'aria-label="Progress: 3 succeeded, 1 failed &lt;b&gt;"' in html
    assert html.count("<rect") == 2
    assert "style" not in html

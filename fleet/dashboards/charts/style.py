"""What all charts share.

Colours are names of CSS variables (`var(--…)`), which `charts.js` resolves, so that one figure fits the light and the dark page.
"""

from html import escape
from typing import Any

Figure = dict[str, Any]

_COLOURS = 6


def colour(number: int) -> str:
    """The colour of the n-th thing that is coloured alike; after six they come again."""
    return f"var(--chart-{number % _COLOURS + 1})"


def as_text(words: str) -> str:
    """Somebody else's words where Plotly reads its own markup: a device's class must not become a link."""
    return escape(words, quote=False)


def layout(xaxis: Figure, yaxis: Figure) -> Figure:
    """No frame, a soft grid, the legend above, the page's own type; no zooming, which would trap a finger that scrolls."""
    axis = {
        "gridcolor": "var(--line)",
        "linecolor": "var(--line)",
        "zerolinecolor": "var(--line)",
        "fixedrange": True,
        "automargin": True,
    }
    return {
        "xaxis": axis | xaxis,
        "yaxis": axis | yaxis,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "var(--sans)", "size": 12, "color": "var(--ink)"},
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "xanchor": "left",
            "yanchor": "bottom",
            "itemsizing": "constant",
            "itemclick": False,
            "itemdoubleclick": False,
        },
        "hoverlabel": {
            "bgcolor": "var(--paper)",
            "bordercolor": "var(--line)",
            "font": {"color": "var(--ink)"},
            "align": "left",
        },
        "hovermode": "closest",
        "dragmode": False,
    }

"""Plotly.js comes out of the installed package."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from fleet.dashboards.finders import PlotlyFinder


def test_plotly_is_found_under_its_static_path() -> None:
    found = finders.find("plotly/plotly.min.js")
    assert isinstance(found, str)
    assert Path(found).stat().st_size > 1_000_000
    assert not finders.find("plotly/widgetbundle.js")


@pytest.mark.django_db
def test_plotly_and_our_own_files_are_served(client: Client) -> None:
    for path, kind in (
        ("plotly/plotly.min.js", "text/javascript"),
        ("dashboards/charts.js", "text/javascript"),
        ("dashboards/dashboards.css", "text/css"),
    ):
        response = client.get(f"/static/{path}")
        assert response.status_code == 200
        assert response["Content-Type"].startswith(kind)
        response.close()


def test_plotly_package_is_never_imported() -> None:
    code = (
        "import os; os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'tests.settings')\n"
        "import django, sys; django.setup()\n"
        "from django.contrib.staticfiles import finders\n"
        "assert finders.find('plotly/plotly.min.js')\n"
        "assert 'plotly' not in sys.modules"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=60)


def test_missing_package_is_a_system_check_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.dashboards.finders.plotly_folder", lambda: None)
    finder = PlotlyFinder()
    (error,) = finder.check()
    assert error.id == "dashboards.E001"
    assert "server" in (error.hint or "")
    assert list(finder.list(None)) == []
    assert not finder.find("plotly/plotly.min.js")

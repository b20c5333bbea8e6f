"""Plotly.js comes out of the installed package."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from fleet.dashboards.finders import PlotlyFinder, with_gzip


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


@pytest.mark.django_db
def test_plotly_travels_compressed(client: Client) -> None:
    plain = client.get("/static/plotly/plotly.min.js")
    packed = client.get("/static/plotly/plotly.min.js", headers={"accept-encoding": "gzip"})
    content = b"".join(packed.streaming_content)  # type: ignore[attr-defined]
    assert packed["Content-Encoding"] == "gzip"
    assert gzip.decompress(content) == b"".join(plain.streaming_content)  # type: ignore[attr-defined]


def test_folder_that_cannot_be_written_serves_the_plain_file(tmp_path: Path) -> None:
    source = tmp_path / "plotly.min.js"
    source.write_text("let x")
    (tmp_path / "cache").write_text("a file stands where the folder should be")
    assert with_gzip(source, tmp_path / "cache") == tmp_path


def test_compressed_form_is_made_once(tmp_path: Path) -> None:
    source = tmp_path / "plotly.min.js"
    source.write_text("let x")
    folder = with_gzip(source, tmp_path / "cache")
    assert gzip.decompress((folder / "plotly.min.js.gz").read_bytes()) == b"let x"
    assert with_gzip(source, tmp_path / "cache") == folder
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [folder.name]

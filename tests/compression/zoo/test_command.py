"""`smallfleet zoo` as a person and a script use it."""

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from benchmarks.checks import load_check
from benchmarks.static_cost import count_static_cost
from client.cli import main
from compression.zoo import ZOO, ZooEntry

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def zoo(small: ZooEntry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command with the small net beside the others, and keeps counts in a folder of the test's own."""
    monkeypatch.setitem(ZOO, "small", small)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["zoo", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_list_has_every_net_with_its_paper(zoo: Run) -> None:
    code, out, _ = zoo("list", "--json")
    listed = {row["name"]: row for row in json.loads(out)}
    assert (code, listed.keys()) == (0, ZOO.keys())
    assert listed["alexnet"]["paper_bytes"] == 240_000_000
    assert listed["alexnet"]["input"] == [3, 227, 227]
    assert "\nalexnet " in zoo("list")[1]


def test_table_as_json_is_a_list_of_rows(zoo: Run) -> None:
    code, out, _ = zoo("table", "--only", "small", "--json")
    (row,) = json.loads(out)
    assert code == 0
    assert {key: row[key] for key in ("name", "param_count", "param_bytes", "dtype", "paper_bytes", "ratio")} == {
        "name": "small",
        "param_count": 213,
        "param_bytes": 852,
        "dtype": "float32",
        "paper_bytes": 1000,
        "ratio": 0.852,
    }
    assert "update_cost" not in row


def test_price_and_devices_make_an_updates_cost(zoo: Run) -> None:
    _, out, _ = zoo("table", "--only", "small", "--price", "400", "--devices", "1000", "--json")
    (row,) = json.loads(out)
    assert row["update_cost"] == round(row["size_bytes"] / 1e6 * 400 * 1000, 2) > 0
    table = zoo("table", "--only", "small", "--price", "400", "--devices", "1000")[1]
    assert "one update of 1,000 devices at 400 per MB" in table
    assert f"{row['update_cost']:,.2f}" in table


def test_table_for_people_ends_with_the_explanations(zoo: Run) -> None:
    _, out, _ = zoo("table", "--only", "small")
    assert out.splitlines()[-1] == "small: 213 weights, 852 bytes, 0.852 of 1 kB"


def test_markdown_goes_between_the_marks_and_nowhere_else(zoo: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- zoo table -->\nold\n<!-- end of zoo table -->\nafter\n")
    assert zoo("table", "--only", "small", "--into", str(page))[0] == 0
    before, _, rest = page.read_text().partition("<!-- zoo table -->\n")
    table, _, after = rest.partition("<!-- end of zoo table -->\n")
    assert (before, after) == ("before\n", "after\n")
    assert "| small | 213 | float32 |" in table
    assert "old" not in table


def test_page_without_marks_is_left_alone(zoo: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    code, _, err = zoo("table", "--only", "small", "--into", str(page))
    assert (code, page.read_text()) == (2, "nothing\n")
    assert "<!-- zoo table -->" in err


def test_exported_net_runs_under_the_ruler(zoo: Run, tmp_path: Path) -> None:
    out = tmp_path / "net.onnx"
    code, text, _ = zoo("export", "small", "--out", str(out), "--classes", "7", "--size", "6", "--width", "9")
    assert (code, text.startswith(f"{out}: Small for 3 x 6 x 9, 7 classes, {out.stat().st_size:,} bytes")) == (0, True)
    onnx.checker.check_model(out, full_check=True)
    check = load_check(out, timeout_s=60)
    assert check.passed
    assert check.input_shapes == {"image": (1, 3, 6, 9)}
    assert check.output_shapes == {"logits": (1, 7)}
    assert list(tmp_path.glob(".zoo-*")) == []


def test_size_alone_is_a_square_and_channels_may_change(zoo: Run, tmp_path: Path) -> None:
    out = tmp_path / "net.onnx"
    assert zoo("export", "small", "--out", str(out), "--size", "12", "--channels", "1")[0] == 0
    assert count_static_cost(out).inputs[0].shape == ("N", 1, 12, 12)


def test_width_alone_keeps_the_papers_height(zoo: Run, tmp_path: Path) -> None:
    out = tmp_path / "net.onnx"
    assert zoo("export", "small", "--out", str(out), "--width", "12")[0] == 0
    assert count_static_cost(out).inputs[0].shape == ("N", 3, 8, 12)


def test_half_precision_on_request(zoo: Run, tmp_path: Path) -> None:
    out = tmp_path / "net.onnx"
    assert zoo("export", "small", "--out", str(out), "--dtype", "float16")[0] == 0
    cost = count_static_cost(out)
    assert (cost.param_bytes, cost.inputs[0].dtype, cost.outputs[0].dtype) == (213 * 2, "float16", "float16")


def test_unknown_net_is_wrong_usage_and_names_the_known(zoo: Run, tmp_path: Path) -> None:
    for arguments in (("table", "--only", "alxnet"), ("export", "alxnet", "--out", str(tmp_path / "net.onnx"))):
        code, out, err = zoo(*arguments)
        assert (code, out) == (2, "")
        assert "'alxnet'" in err
        assert "alexnet" in err


def test_input_too_small_for_the_net_writes_nothing(zoo: Run, tmp_path: Path) -> None:
    code, _, err = zoo("export", "network-in-network", "--out", str(tmp_path / "net.onnx"), "--size", "9")
    assert code == 2
    assert "network-in-network: an input of 9 x 9 does not go through this net" in err
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_not_there_is_a_problem_with_a_local_file(zoo: Run, tmp_path: Path) -> None:
    code, _, err = zoo("export", "small", "--out", str(tmp_path / "nowhere" / "net.onnx"))
    assert code == 5
    assert err == f"smallfleet: {tmp_path / 'nowhere' / 'net.onnx'}: there is no folder {tmp_path / 'nowhere'}\n"


def test_page_that_is_no_text_is_left_alone_before_anything_is_counted(
    zoo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(*_: object, **__: object) -> list[object]:
        raise AssertionError

    monkeypatch.setattr("compression.commands.zoo.table", counted)
    page = tmp_path / "page.onnx"
    page.write_bytes(b"\x08\xb2\xff")
    code, _, err = zoo("table", "--only", "small", "--into", str(page))
    assert (code, err, page.read_bytes()) == (5, f"smallfleet: {page}: no text in UTF-8\n", b"\x08\xb2\xff")


@pytest.mark.parametrize(
    "option",
    [
        ("--price", "-1"),
        ("--price", "nan"),
        ("--price", "inf"),
        ("--price", "x"),
        ("--devices", "0"),
        ("--devices", "1e4"),
    ],
)
def test_impossible_price_or_fleet_is_wrong_usage(
    zoo: Run, option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        zoo("table", "--only", "small", *option)
    assert ended.value.code == 2
    assert f"argument {option[0]}: {option[1]!r} is no " in capsys.readouterr().err

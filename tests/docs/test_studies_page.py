"""The page about studies names what the code has."""

import re
import tomllib
from pathlib import Path

from benchmarks.peers import saturation
from compression.pages import Section
from compression.study.reference import reference
from compression.study.spec import parse_spec

PAGE = (Path(__file__).resolve().parents[2] / "docs/studies.md").read_text()


def test_every_key_stands_on_the_page_as_the_code_has_it() -> None:
    table = Section("<!-- keys -->", "<!-- end of keys -->").of(PAGE)
    assert table == "\n".join(reference()).strip()


def test_the_pages_example_is_a_spec() -> None:
    _, _, rest = PAGE.partition("```toml\n")
    example, _, _ = rest.partition("```")
    spec = parse_spec(example, folder=Path("/spec"))
    assert (spec.name, spec.point_count()) == (tomllib.loads(example)["name"], 60)
    assert list(spec.space.parameters) == ["pct_3x3", "width", "static_int8.use"]


def test_generated_part_has_its_place_and_its_pictures() -> None:
    assert "something new" in saturation.SECTION.put(PAGE, "something new")
    linked = re.findall(r"\(pictures/([a-z0-9-]+\.svg)\)", PAGE)
    assert {"saturation.svg", "pareto.svg"} <= set(linked) <= set(saturation.PICTURES.values())
    for picture in linked:
        assert (Path(__file__).resolve().parents[2] / "docs/pictures" / picture).is_file()

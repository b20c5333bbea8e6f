"""What the limited child accepts, refuses, and cannot be made to do."""

import io
import json
import os
import resource
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pytest_django.fixtures import Settings

from registry.children import ChildFailed, Limits, Reason, run_child
from registry.errors import ContractInvalid, InspectionFailed, ModelInvalid, SampleSetInvalid
from registry.inspection.checks import inspect_model, inspect_samples
from registry.inspection.contracts import parse_contract
from tests.factories.registry import contract_bytes, onnx_model, sample_set


@pytest.fixture
def checked(tmp_path: Path) -> Callable[[bytes], dict[str, Any]]:
    """Write the bytes and let the child look at them as a model."""

    def check(content: bytes) -> dict[str, Any]:
        path = tmp_path / "uploaded"
        path.write_bytes(content)
        return inspect_model(path)

    return check


def _altered(alter: Callable[[onnx.ModelProto], None]) -> bytes:
    model = onnx.load_from_string(onnx_model())
    alter(model)
    return bytes(model.SerializeToString())


def _external(tensor: onnx.TensorProto) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="/etc/passwd")


def _external_initializer(model: onnx.ModelProto) -> None:
    _external(model.graph.initializer[0])


def _external_attribute(model: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.zeros(3, np.float32), "c"))
    _external(node.attribute[0].t)
    model.graph.node.insert(0, node)


def _external_in_subgraph(model: onnx.ModelProto) -> None:
    inner = numpy_helper.from_array(np.zeros(3, np.float32), "inner")
    _external(inner)
    out = helper.make_tensor_value_info("branch", TensorProto.FLOAT, [3])
    branch = helper.make_graph([helper.make_node("Identity", ["inner"], ["branch"])], "branch", [], [out], [inner])
    model.graph.initializer.append(numpy_helper.from_array(np.ones((), bool), "yes"))
    model.graph.node.append(helper.make_node("If", ["yes"], ["chosen"], then_branch=branch, else_branch=branch))


@pytest.mark.parametrize("alter", [_external_initializer, _external_attribute, _external_in_subgraph])
def test_model_in_several_files_is_refused_wherever_it_says_so(
    checked: Callable[[bytes], dict[str, Any]], alter: Callable[[onnx.ModelProto], None]
) -> None:
    with pytest.raises(ModelInvalid, match="stored in another file"):
        checked(_altered(alter))


def _no_graph(model: onnx.ModelProto) -> None:
    model.ClearField("graph")


def _unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type = "Teleport"


def _dangling_input(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "nowhere"


def _short_payload(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = b"1234"


def _contradicting_shapes(model: onnx.ModelProto) -> None:
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.zeros((7, 3), np.float32), "w1"))


def _too_many_inputs(model: onnx.ModelProto) -> None:
    for index in range(400):
        model.graph.input.append(helper.make_tensor_value_info(f"extra{index}", TensorProto.FLOAT, [1]))


@pytest.mark.parametrize(
    "alter", [_no_graph, _unknown_operator, _dangling_input, _short_payload, _contradicting_shapes, _too_many_inputs]
)
def test_model_that_is_not_valid_is_refused(
    checked: Callable[[bytes], dict[str, Any]], alter: Callable[[onnx.ModelProto], None]
) -> None:
    with pytest.raises(ModelInvalid):
        checked(_altered(alter))


def test_model_with_too_many_nodes_is_refused(checked: Callable[[bytes], dict[str, Any]]) -> None:
    def many(model: onnx.ModelProto) -> None:
        node = onnx.NodeProto(op_type="Identity")
        model.graph.node.extend([node] * 50_001)

    with pytest.raises(ModelInvalid, match="nodes"):
        checked(_altered(many))


def _function(name: str, calls: list[str]) -> onnx.FunctionProto:
    nodes = [helper.make_node(called, ["x"], [f"y{at}"], domain="ours") for at, called in enumerate(calls)]
    nodes.append(helper.make_node("Identity", ["x"], ["y"]))
    return helper.make_function(
        "ours", name, ["x"], ["y"], nodes, [helper.make_opsetid("", 17), helper.make_opsetid("ours", 1)]
    )


def _functions_that_double(model: onnx.ModelProto) -> None:
    model.functions.append(_function("f0", []))
    for level in range(1, 40):
        model.functions.append(_function(f"f{level}", [f"f{level - 1}"] * 2))
    model.graph.node.append(helper.make_node("f39", [model.graph.input[0].name], ["huge"], domain="ours"))


def _functions_in_a_circle(model: onnx.ModelProto) -> None:
    model.functions.extend([_function("there", ["back"]), _function("back", ["there"])])


def _long_name(model: onnx.ModelProto) -> None:
    model.graph.node[0].name = "n" * 2_000


def _long_text(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="story", value="x" * (2 << 20))


def _many_dimensions(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "flat"))
    model.graph.initializer[-1].dims[:] = [1] * 40


def _many_edges(model: onnx.ModelProto) -> None:
    name = model.graph.input[0].name
    model.graph.node.append(helper.make_node("Concat", [name] * 20_000, ["wide"], axis=0))


def _deep_graphs(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([], "innermost", [], [helper.make_tensor_value_info("o", TensorProto.FLOAT, [1])])
    for level in range(18):
        node = helper.make_node("If", ["c"], [f"o{level}"], then_branch=branch, else_branch=onnx.GraphProto(name="e"))
        branch = helper.make_graph([node], f"level{level}", [], [])
    model.graph.node.extend(branch.node)


@pytest.mark.parametrize(
    ("alter", "complaint"),
    [
        (_functions_that_double, "functions put in their places"),
        (_functions_in_a_circle, "calls itself"),
        (_long_name, "characters in one name"),
        (_long_text, "characters in one text"),
        (_many_dimensions, "dimensions"),
        (_many_edges, "inputs and outputs at one node"),
        (_deep_graphs, "graphs inside each other"),
    ],
)
def test_model_that_is_small_in_bytes_and_huge_in_a_part_is_refused(
    checked: Callable[[bytes], dict[str, Any]], alter: Callable[[onnx.ModelProto], None], complaint: str
) -> None:
    with pytest.raises(ModelInvalid, match=complaint):
        checked(_altered(alter))


def test_model_whose_messages_nest_without_end_is_refused(checked: Callable[[bytes], dict[str, Any]]) -> None:
    """ModelProto.graph = 7, GraphProto.node = 1, NodeProto.attribute = 5, AttributeProto.g = 6, 10,000 levels deep."""
    nested = b""
    for field in [6, 5, 1] * 10_000:
        nested = bytes([field << 3 | 2]) + _varint(len(nested)) + nested
    with pytest.raises(ModelInvalid, match="no ONNX file"):
        checked(b"\x3a" + _varint(len(nested)) + nested)


def test_model_of_nothing_but_broken_bytes_is_refused(checked: Callable[[bytes], dict[str, Any]]) -> None:
    good = onnx_model()
    for broken in (b"\x00", b"\xff" * 4096, good[: len(good) // 2], bytes(reversed(good)), b"PK\x03\x04" + good):
        with pytest.raises(ModelInvalid):
            checked(broken)


def test_check_that_needs_too_much_memory_refuses_the_model(tmp_path: Path, settings: Settings) -> None:
    """Empty messages are two bytes in the file and about a hundred parsed: a small file that grows."""
    settings.SMALLFLEET_INSPECTION_MEMORY_BYTES = 200 * 1024**2
    path = tmp_path / "bomb"
    graph = b"".join([b"\x0a\x00"] * 4_000_000)
    path.write_bytes(b"\x3a" + _varint(len(graph)) + graph)
    with pytest.raises(ModelInvalid):
        inspect_model(path)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def test_check_that_takes_too_long_is_stopped(tmp_path: Path, settings: Settings) -> None:
    settings.SMALLFLEET_INSPECTION_TIMEOUT_S = 0
    path = tmp_path / "model"
    path.write_bytes(onnx_model())
    with pytest.raises(InspectionFailed, match="longer than it may"):
        inspect_model(path)


@pytest.fixture
def child_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """A child program of the test's own; confined like the others."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path.cwd()}")

    def write(program: str) -> str:
        prelude = "import sys\nfrom registry.children import limit_itself\nlimit_itself(sys.argv[1])\n"
        (tmp_path / "the_child.py").write_text(prelude + program)
        return "the_child"

    return write


LIMITS = Limits(memory_bytes=300 * 1024**2, timeout_s=20)


def test_child_answers_on_standard_output(child_module: Callable[[str], str]) -> None:
    assert run_child(child_module("print('a', sys.argv[2])"), ["b"], limits=LIMITS) == b"a b\n"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("x = bytearray(400 * 1024**2)", Reason.MEMORY),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Reason.TIME),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", Reason.CRASH),
        ("raise SystemExit(3)", Reason.CRASH),
        ("import os; os.write(os.open('/tmp/written-by-a-child', os.O_CREAT | os.O_WRONLY), b'x')", Reason.CRASH),
        ("files = [open('/dev/null') for _ in range(100)]", Reason.CRASH),
    ],
)
def test_child_that_oversteps_is_a_failure_with_its_reason(
    child_module: Callable[[str], str], program: str, reason: Reason
) -> None:
    with pytest.raises(ChildFailed) as failed:
        run_child(child_module(program), [], limits=LIMITS)
    assert failed.value.reason is reason
    Path("/tmp/written-by-a-child").unlink(missing_ok=True)


def test_child_is_killed_with_its_children_when_its_time_is_over(
    child_module: Callable[[str], str], tmp_path: Path
) -> None:
    program = (
        "import os, subprocess, time\n"
        "inner = subprocess.Popen(['sleep', '60'])\n"
        "print(os.getpid(), inner.pid, file=sys.stderr, flush=True)\n"
        f"os.symlink(str(inner.pid), {str(tmp_path / 'pid')!r})\n"
        "time.sleep(60)"
    )
    with pytest.raises(ChildFailed, match="longer"):
        run_child(child_module(program), [], limits=Limits(memory_bytes=300 * 1024**2, timeout_s=2))
    inner = int((tmp_path / "pid").readlink().name)
    deadline = time.monotonic() + 10
    while _runs(inner):  # it was killed; the kernel takes it down in its own time
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_child_has_neither_the_servers_secrets_nor_core_dumps(
    child_module: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALLFLEET_SECRET_KEY", "a secret")
    program = (
        "import os, resource; print('SMALLFLEET_SECRET_KEY' in os.environ, resource.getrlimit(resource.RLIMIT_CORE))"
    )
    assert run_child(child_module(program), [], limits=LIMITS) == b"False (0, 0)\n"


def test_shut_in_child_has_no_network_no_process_and_only_its_file(
    child_module: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("files")  # not below what Python imports from
    (folder / "given").write_text("given")
    (folder / "other").write_text("other")
    program = f"""
import json, os, socket, subprocess
from pathlib import Path
from registry.children import shut_in
folder = Path({str(folder)!r})
shut_in(sys.argv[1], readable=[folder / "given"])
done = []
for name, attempt in {{
    "given": lambda: (folder / "given").read_text(),
    "other": lambda: (folder / "other").read_text(),
    "write": lambda: os.open(folder / "given", os.O_WRONLY),
    "passwd": lambda: Path("/etc/passwd").read_text(),
    "socket": lambda: socket.socket(),
    "process": lambda: subprocess.run(["true"]),
}}.items():
    try:
        attempt()
        done.append(name)
    except PermissionError:
        pass
print(json.dumps(done))
"""
    assert json.loads(run_child(child_module(program), [], limits=LIMITS)) == ["given"]


def test_check_without_a_sandbox_is_none_where_it_is_required(child_module: Callable[[str], str]) -> None:
    """seccomp(2) is taken away first, as on a kernel that has none."""
    program = """
from benchmarks import seccomp
from registry.children import shut_in
names = {f"n{n}": (n, n) for n in range(seccomp.NEWEST_NUMBER + 1) if n not in (277, 317)}
seccomp.NUMBERS.update(names, seccomp=(317, 277))
seccomp.install(seccomp.Profile(tuple(seccomp.NUMBERS), {}, ("seccomp",)))
shut_in(sys.argv[1], readable=[])
print("went on")
"""
    with pytest.raises(ChildFailed, match="no filter of system calls"):
        run_child(child_module(program), [], limits=LIMITS)
    unguarded = Limits(memory_bytes=300 * 1024**2, timeout_s=20, sandbox_required=False)
    assert run_child(child_module(program), [], limits=unguarded) == b"went on\n"


def test_children_of_the_check_import_no_django() -> None:
    program = "import registry.inspection.__main__, registry.inspection.model, registry.inspection.samples, sys; sys.exit('django' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def _npz(compression: int = zipfile.ZIP_DEFLATED, /, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


GOOD = {"input:image.npy": _npy(np.zeros((2, 4), np.float32)), "golden:logits.npy": _npy(np.zeros((2, 3), np.float32))}
BAD_SAMPLES = {
    "pickles": sample_set(more={"input:extra": np.array([{"a": 1}] * 5, dtype=object)}),
    "unknown name": sample_set(more={"weights": np.zeros(5)}),
    "first axes differ": sample_set(more={"input:more": np.zeros((6, 1))}),
    "no golden": _npz(**{"input:image.npy": GOOD["input:image.npy"]}),
    "no samples": sample_set(0),
    "a scalar": sample_set(more={"input:one": np.array(1.0)}),
    "header lies": _npz(**GOOD, **{"labels.npy": _npy(np.zeros(2))[:-8]}),
    "zip bomb": _npz(**GOOD, **{"labels.npy": bytes(64 * 1024**2)}),
    "packed with LZMA": _npz(zipfile.ZIP_LZMA, **GOOD),
    "broken inside": _npz(**GOOD)[:60] + b"\xff\xff\xff" + _npz(**GOOD)[63:],
    "too many dimensions": _npz(**GOOD, **{"labels.npy": _npy(np.zeros((1,) * 33))}),
    "too many members": _npz(**{f"input:{number}.npy": b"" for number in range(300)}),
    "a header that nests": _npz(**{"labels.npy": b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000}),
    "a header of gigabytes": _npz(**{"labels.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 100}),
    "a pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "path": _npz(**GOOD, **{"../labels.npy": _npy(np.zeros(2))}),
}


@pytest.mark.parametrize("content", BAD_SAMPLES.values(), ids=BAD_SAMPLES.keys())
def test_file_that_is_no_sample_set_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "samples"
    path.write_bytes(content)
    with pytest.raises(SampleSetInvalid):
        inspect_samples(path)


def test_sample_set_is_described(tmp_path: Path) -> None:
    path = tmp_path / "samples"
    path.write_bytes(sample_set(7))
    described = inspect_samples(path)
    assert described["samples"] == 7
    assert described["arrays"]["input:image"] == {"dtype": "float32", "shape": [7, 4]}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"schema": "smallfleet-contract/2"}, "schema"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [{"name": "x", "dtype": "float32", "shape": [1.5]}]}, "inputs.0.shape.0"),
        ({"inputs": [{"name": "x", "dtype": "float32", "shape": [-1]}]}, "inputs.0.shape.0"),
        ({"labels": "0123"}, "labels"),
        ({"preprocessing": []}, "preprocessing"),
    ],
)
def test_contract_with_a_wrong_field_names_it(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ContractInvalid) as refused:
        parse_contract(contract_bytes(**changes))
    assert field in [error["field"] for error in refused.value.errors]


def test_contract_may_have_keys_that_the_schema_does_not_know() -> None:
    assert parse_contract(contract_bytes(colour={"space": "sRGB"}))["colour"] == {"space": "sRGB"}


def test_contract_that_names_an_output_twice_is_refused() -> None:
    port = {"name": "y", "dtype": "float32", "shape": [1]}
    with pytest.raises(ContractInvalid, match="twice"):
        parse_contract(contract_bytes(outputs=3, inputs=[port, port]))


def test_limits_of_a_child_are_below_those_of_this_process() -> None:
    """A child may write nothing, this process may: the limits are the child's own doing."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] in {resource.RLIM_INFINITY, -1}

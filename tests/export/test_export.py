"""An exported model makes the model's showers, in each host."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from caloforge import zoo
from caloforge.errors import ExportError, OutputExistsError
from caloforge.export import (
    TARGETS,
    Exported,
    OnnxRunner,
    Parity,
    compared,
    export,
    graph_of,
    parity,
    write_inputs,
)
from caloforge.models import Bridge, Surrogate
from caloforge.observables import layer_energies
from caloforge.particles import Particles
from caloforge.showers import Showers

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's tracer warns of what is constant


ROOT = Path(__file__).parents[2]
HEADERS = Path(os.environ.get("ONNXRUNTIME_INCLUDE", "/usr/include/onnxruntime"))


@pytest.fixture(scope="module")
def bridge() -> Bridge:
    """A bundled refiner that takes one step, to be quick."""
    bridge = zoo.load("squirels-fast")
    bridge.default_steps = 1
    return bridge


@pytest.fixture(scope="module")
def refiner(bridge: Bridge, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(bridge, "onnx", tmp_path_factory.mktemp("refiner") / "refiner.onnx")


@pytest.fixture(scope="module")
def flow() -> Surrogate:
    return zoo.load_surrogate("caloflow-laptop")


@pytest.fixture(scope="module")
def fast() -> Showers:
    showers = compared(zoo.load("squirels-fast"), 32)
    assert isinstance(showers, Showers)
    return showers


def test_the_graph_makes_the_showers_of_the_model_bit_for_bit(
    bridge: Bridge, fast: Showers
) -> None:
    graph = graph_of(bridge)
    made = graph(*graph.examples(fast, seed=7))
    assert torch.equal(made, bridge.refine(fast, seed=7).deposits)


def test_the_file_makes_them_in_any_batch(refiner: Exported, fast: Showers) -> None:
    runner, inputs = OnnxRunner(refiner.files[0]), refiner.graph.examples(fast, seed=7)
    found = parity(refiner.graph, runner, inputs, at_a_time=5)
    assert found.difference < 1e-5
    one = runner(*(tensor[3:4] for tensor in inputs))
    torch.testing.assert_close(one, runner(*inputs)[3:4], rtol=1e-4, atol=1e-3)


def test_the_file_says_what_it_is(refiner: Exported, bridge: Bridge) -> None:
    said = {entry.key: entry.value for entry in onnx.load(refiner.files[0]).metadata_props}
    assert said["model_sha256"] == bridge.card.sha256
    assert said["input incident_energy"] == "incident energy, in MeV"


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
@pytest.mark.skipif(
    not HEADERS.is_dir(), reason="ONNX Runtime's headers: say where by ONNXRUNTIME_INCLUDE"
)
def test_the_program_in_cpp_makes_the_same_showers(
    refiner: Exported, fast: Showers, tmp_path: Path
) -> None:
    write_inputs(refiner, fast, tmp_path / "inputs", seed=7)
    program, out = _compiled(tmp_path), tmp_path / "out.f32"
    command = [program, refiner.files[0], str(len(fast)), "0", out, tmp_path / "inputs"]
    subprocess.run(command, check=True)
    made, expected = (
        np.fromfile(path, "<f4") for path in (out, tmp_path / "inputs/refined.expected.f32")
    )
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-2)


def _compiled(folder: Path) -> Path:
    import onnxruntime

    (library,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / name).symlink_to(library)
    source, program = ROOT / "examples/onnxruntime/showers.cc", folder / "showers"
    where = [f"-I{HEADERS}", f"-L{folder}", "-lonnxruntime", f"-Wl,-rpath,{folder}"]
    subprocess.run(["g++", "-std=c++17", "-Wall", source, *where, "-o", program], check=True)
    return program


def test_par04_is_given_parts_of_the_energy_with_z_fastest(flow: Surrogate, tmp_path: Path) -> None:
    made = export(flow, "par04", tmp_path / "par04")
    particles = Particles(torch.tensor([2e3, 5e4]), flow.card.one_species)
    (vector,) = made.graph.examples(particles, seed=5)
    parts = OnnxRunner(made.files[0])(vector).reshape(2, 9, 16, 45)
    showers = flow.simulate(particles, seed=5)
    energies = parts.sum(dim=(1, 2)) * particles.energies[:, None]
    torch.testing.assert_close(
        energies.double(), layer_energies(showers).double(), rtol=1e-3, atol=0.1
    )
    assert f"setSizeLatentVector {vector.shape[1] - 4}\n" in made.files[1].read_text()


def test_a_loop_makes_what_the_steps_make(flow: Surrogate) -> None:
    graph = graph_of(flow)
    inputs = graph.examples(Particles(torch.tensor([2e3, 5e4, 9e4]), 11), seed=2)
    from caloforge.export.tracing import traced

    assert parity(graph, traced(graph, inputs), inputs).difference < 1e-5


def test_triton_is_told_the_names_and_shapes(bridge: Bridge) -> None:
    text = TARGETS["triton"].texts(graph_of(bridge))["config.pbtxt"]
    assert '{ name: "noise_empty", data_type: TYPE_FP64, dims: [ 102 ] }' in text
    assert '"incident_energy", data_type: TYPE_FP32, dims: [ 1 ], reshape: { shape: [ ] }' in text


def test_what_a_host_cannot_ask_is_refused(bridge: Bridge, flow: Surrogate) -> None:
    with pytest.raises(ExportError, match="refines showers: Par04 asks for particles alone"):
        TARGETS["par04"].graph(bridge)
    TARGETS["fastcalosim"].graph(flow)
    with pytest.raises(ExportError, match="takes other random numbers"):
        TARGETS["fastcalosim"].graph(zoo.load_surrogate("calodream-ds2-laptop"))


def test_wrong_paths_and_targets_are_refused_before_anything_is_made(
    bridge: Bridge, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="did you mean 'onnx'"):
        export(bridge, "onxx", tmp_path / "x.onnx")
    with pytest.raises(ExportError, match=r"ends with \.onnx"):
        export(bridge, "onnx", tmp_path / "x.pt")
    (tmp_path / "there.onnx").touch()
    with pytest.raises(OutputExistsError):
        export(bridge, "onnx", tmp_path / "there.onnx")


def test_other_showers_are_refused() -> None:
    same = Parity(1000, 1e-6, 1, 1e-8)
    same.require("it")
    for wrong in (replace(same, difference=1e-3), replace(same, sums=1e-3), replace(same, flips=9)):
        with pytest.raises(ExportError, match="it is not written"):
            wrong.require("it")
    x = torch.tensor([[1.0, 0.0, 2.0]])
    assert parity(lambda t: t, lambda t: t.flip(1), [x]).sums == 0
    assert parity(lambda t: t, lambda t: t * torch.nan, [x]).sums == torch.inf

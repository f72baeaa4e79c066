"""The public surface, name by name: a change here is a change that users notice."""

import ast
import pkgutil
from importlib import import_module
from importlib.util import find_spec
from inspect import getdoc, isclass, isfunction
from pathlib import Path

import pytest

import caloforge

PUBLIC: dict[str, list[str]] = {
    "caloforge.calorimeter": [
        "Calorimeter",
        "CylinderGrid",
        "CylinderLayer",
        "RegularGrid",
        "calochallenge_1_photons",
        "calochallenge_1_pions",
        "calochallenge_2",
        "calochallenge_3",
        "ild_ecal",
        "named_calorimeters",
        "pbwo4_crystals",
    ],
    "caloforge.cli": ["app", "main"],
    "caloforge.errors": [
        "CaloforgeError",
        "EnergyRangeError",
        "EnergyRangeWarning",
        "FileFormatError",
        "GeometryError",
        "GeometryMismatchError",
        "ModelError",
        "OutputError",
        "OutputExistsError",
        "RecipeError",
        "RepresentationWarning",
        "ShowerValueError",
        "TrainingError",
        "UnitError",
    ],
    "caloforge.io": [
        "CaloChallengeFile",
        "CaloChallengeWriter",
        "NewFile",
        "ShowerFile",
        "SquirelsFile",
        "convert",
        "open_showers",
        "read_binning",
        "write_binning",
        "write_squirels",
    ],
    "caloforge.learn": [],
    "caloforge.learn.networks": [
        "ConvolutionalAutoencoder",
        "DihedralLinear",
        "DihedralNetwork",
        "SquirelsEnergyNetwork",
        "SquirelsShapeNetwork",
        "Transfusion",
        "VisionTransformer",
        "sinusoids",
    ],
    "caloforge.learn.networks.autoencoder": ["ConvolutionalAutoencoder"],
    "caloforge.learn.networks.dihedral": ["DihedralLinear", "DihedralNetwork"],
    "caloforge.learn.networks.embedding": ["sinusoids"],
    "caloforge.learn.networks.squirels": ["SquirelsEnergyNetwork", "SquirelsShapeNetwork"],
    "caloforge.learn.networks.vision": ["FASTEST", "VisionTransformer"],
    "caloforge.learn.networks.transfusion": ["DecoderState", "Transfusion"],
    "caloforge.learn.processes": [
        "AutoregressiveFlow",
        "AutoregressiveNetwork",
        "Autoencoder",
        "Displacement",
        "EULER",
        "FlowBridge",
        "HEUN",
        "Linear",
        "MIDPOINT",
        "Path",
        "RK4",
        "RungeKutta",
        "SOLVERS",
        "SchroedingerBridge",
        "Trigonometric",
        "Variational",
        "integrate",
    ],
    "caloforge.learn.processes.autoregressive": ["AutoregressiveFlow", "AutoregressiveNetwork"],
    "caloforge.learn.processes.flow": ["FlowBridge", "Linear", "Path", "Trigonometric"],
    "caloforge.learn.processes.schroedinger": ["Displacement", "SchroedingerBridge"],
    "caloforge.learn.processes.solvers": ["EULER", "HEUN", "MIDPOINT", "RK4", "RungeKutta", "SOLVERS", "Velocity", "integrate"],
    "caloforge.learn.processes.variational": ["Autoencoder", "Variational"],
    "caloforge.learn.quantiles": ["KNOTS", "NODES", "QuantileTables"],
    "caloforge.learn.representations": ["EMPTY", "Gaussianised", "REACH", "StandardisedShape", "StandardisedSum"],
    "caloforge.learn.symmetry": ["Orbits"],
    "caloforge.learn.training": ["Phase", "Progress", "WARM_UP", "generator", "run"],
    "caloforge.materials": [
        "AIR",
        "BGO",
        "COPPER",
        "IRON",
        "LEAD",
        "LEAD_TUNGSTATE",
        "LIQUID_ARGON",
        "Material",
        "POLYSTYRENE",
        "SCATTERING_ENERGY",
        "SILICON",
        "TUNGSTEN",
    ],
    "caloforge.metrics": [
        "DEFAULT_JUDGES",
        "JUDGES",
        "Amplification",
        "Batched",
        "Bins",
        "CellCounts",
        "Comparison",
        "Judge",
        "Judgement",
        "Line",
        "Neighbours",
        "Resampling",
        "Score",
        "Share",
        "Trio",
        "amplification",
        "area",
        "batched_wasserstein",
        "chi2_probability",
        "compare_lines",
        "compare_points",
        "correlation_distance",
        "extrapolated_frechet_distance",
        "frechet_distance",
        "judge",
        "judges_for",
        "kernel_distance",
        "ks_probability",
        "layer_correlation",
        "log_voxels",
        "neighbours",
        "resampling",
        "separation_power",
        "wasserstein",
    ],
    "caloforge.observables": [
        "BRIGHTEST",
        "CENTRE_X",
        "CENTRE_Y",
        "CENTRE_Z",
        "DEPTH_ALPHA",
        "DEPTH_R",
        "ENERGY_SUM",
        "Entry",
        "LAYERS",
        "LAYER_CENTRE_R",
        "LAYER_CENTRE_X",
        "LAYER_CENTRE_Y",
        "LAYER_ENERGY",
        "LAYER_FRACTION",
        "LAYER_WIDTH_R",
        "LAYER_WIDTH_X",
        "LAYER_WIDTH_Y",
        "LOG_SPECTRUM",
        "MAX_ENERGY",
        "MAX_FRACTION",
        "N_HITS",
        "OCCUPANCY",
        "Observable",
        "PROFILE_R",
        "PROFILE_X",
        "PROFILE_Y",
        "RADIUS_MEAN",
        "RADIUS_RMS",
        "RESPONSE",
        "SHOWER_LEVEL",
        "SPARSITY",
        "SPECTRUM",
        "SQUIRELS",
        "Scale",
        "THRESHOLD",
        "U_RATIOS",
        "WIDTH_X",
        "WIDTH_Y",
        "WIDTH_Z",
        "brightest_fractions",
        "catalogue",
        "cell_energies",
        "cell_spectrum",
        "centre_x",
        "centre_y",
        "centre_z",
        "depth_alpha",
        "depth_r",
        "feature_names",
        "high_level_features",
        "layer_centre_r",
        "layer_centre_x",
        "layer_centre_y",
        "layer_energies",
        "layer_fractions",
        "layer_width_r",
        "layer_width_x",
        "layer_width_y",
        "max_energy",
        "max_fraction",
        "n_hits",
        "occupancy",
        "profile_r",
        "profile_x",
        "profile_y",
        "radius_mean",
        "radius_rms",
        "response",
        "shower_level_features",
        "sparsity",
        "total_energy",
        "u_ratios",
        "width_x",
        "width_y",
        "width_z",
    ],
    "caloforge.report": [
        "COLUMNS",
        "Evaluation",
        "PRESETS",
        "Preset",
        "Settings",
        "evaluate",
        "remarks",
        "require_free",
        "table",
        "title",
        "verdict",
        "write",
    ],
    "caloforge.showers": ["ELECTRON", "Particles", "ShowerSource", "Showers", "spans"],
    "caloforge.simulators": ["GFlash", "Homogeneous", "Medium", "Sampling", "Tuning", "Upstream", "pbwo4_gflash"],
    "caloforge.streams": ["keys", "normals", "uniforms", "words"],
    "caloforge.systems": [
        "Card",
        "Recipe",
        "Refiner",
        "SYSTEMS",
        "TrainingShowers",
        "load",
        "load_recipe",
        "recipe_names",
        "train",
    ],
    "caloforge.timing": [
        "ALL",
        "Benchmark",
        "Chain",
        "GFlashChain",
        "RefinerChain",
        "SUM",
        "Skipped",
        "Stage",
        "Timing",
        "bench",
        "peak_memory",
    ],
    "caloforge.units": ["GeV", "MeV", "TeV", "cm", "format_energy", "keV", "m", "mm", "parse_energy"],
    "caloforge.zoo": ["bundled_showers", "card", "load", "names", "shower_names"],
}

MODULES = sorted(
    m.name
    for m in pkgutil.walk_packages(caloforge.__path__, "caloforge.")
    if not any(p.startswith("_") for p in m.name.split("."))
)
SURFACE = [name for name in MODULES if name.count(".") == 1 or name.startswith("caloforge.learn.")]
"""What users import from: the rooms of the house, and those of `learn`; what else is in a room is taken from the room."""


def test_every_room_is_locked() -> None:
    assert sorted(PUBLIC) == SURFACE


@pytest.mark.parametrize("name", SURFACE)
def test_the_public_names_of_a_room_are_these(name: str) -> None:
    assert sorted(import_module(name).__all__) == sorted(PUBLIC[name])


@pytest.mark.parametrize("name", MODULES)
def test_every_public_object_is_there_and_explains_itself(name: str) -> None:
    module = import_module(name)
    objects = {public: getattr(module, public) for public in module.__all__}
    assert [public for public, o in objects.items() if (isclass(o) or isfunction(o)) and not getdoc(o)] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_begins_with_its_head_and_its_public_names(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    head, names, *_ = ast.parse(Path(spec.origin).read_text()).body
    assert isinstance(head, ast.Expr)
    assert isinstance(names, ast.Assign | ast.AnnAssign)
    target = names.target if isinstance(names, ast.AnnAssign) else names.targets[0]
    assert ast.unparse(target) == "__all__"

"""Every page can be followed literally: its commands and its Python, in order, in one folder."""

import re
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import h5py
import pytest
import torch
from _pytest.mark import ParameterSet

from caloforge import zoo
from caloforge.geometry import calochallenge_2, ild_ecal
from caloforge.gun import Gun, Interval, read_species, read_spectrum
from caloforge.io import convert, write_binning
from caloforge.models import STAGES, SYSTEMS
from caloforge.particles import Particles
from caloforge.showers import Showers
from tests.cli.conftest import caloforge
from tests.cli.samples import TINY_SURROGATE, Caloforge, settings
from tests.geant4 import needs_geant4
from tests.io.test_lemurs import made_records, written
from tests.test_docs import ROOT

__all__ = ["caloforge"]

pytestmark = [
    pytest.mark.filterwarnings("ignore::caloforge.errors.EnergyRangeWarning"),
    pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning"),
]

BLOCK = re.compile(
    r"^( *)```(console|python|text|yaml|\{code-cell\} python)\n(.*?)^\1```",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Step:
    """One thing to do: a command, or a block of Python; and what the page says that it prints."""

    kind: str
    text: str
    prints: str = ""


def steps(page: str) -> Iterator[Step]:
    """The commands and the blocks of Python of a page, in order."""
    blocks = [(kind, text) for _, kind, text in BLOCK.findall((ROOT / page).read_text())]
    for (kind, text), (after, output) in pairwise([*blocks, ("", "")]):
        prints = output if after == "text" else ""
        if kind.endswith("python"):
            yield Step("python", text, prints)
        elif kind == "console":
            commands = re.findall(r"^ *\$ (.*?)(?: +#.*)?$", text, re.MULTILINE)
            for command in commands:
                yield Step(kind, command, prints if command == commands[-1] else "")


PAGES = {
    page: found
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if (found := list(steps(page := path.relative_to(ROOT).as_posix())))
    and page != "docs/evaluation.md"
}
"""What each page has to be done; `test_tutorial` does the other one."""

NOT_RUN = {
    r"(PIP_EXTRA_INDEX_URL=\S+ )?make ": "makes an environment of its own, from the network",
    r"(PIP_EXTRA_INDEX_URL=\S+ )?python -m pip ": "takes from the network",
    r"\. \.venv/bin/activate": "is of the shell",
    r"python benchmarks/": "needs a clone, and minutes to hours",
    r"(docker|apptainer) ": "makes a container, from the network",
    r"torchrun ": "starts one process a GPU",
    r"caloforge data geant4 .*--fetch": "takes from the network",
    r"caloforge simulate gflash -n 10000000 .*many.h5$": "is interrupted, as the page says",
    r"caloforge export .*(--target|generator)": "takes ten seconds; tests/export does it",
    r"caloforge demo": "takes a minute; tests/cli/test_demo.py runs it",
    r"caloforge design ": "takes half an hour of Geant4; tests/cli/test_design.py runs one",
}
"""What is not run here, and why."""

TINY_BRIDGE = {"steps": 2, "validation": 50, "batch_size": 32, "channels": 8, "condition": 8}
TINY_HALVES = {
    "bridge_steps": 2,
    **{f"{part}.{key}": 0.01 for part in ("energy", "shape") for key in ("first_epochs", "epochs")},
    **{f"{part}.iterations": 1 for part in ("energy", "shape")},
}
TINY_FLOW = {key: value for key, value in TINY_SURROGATE.items() if key != "shape.patch"}

TINY_TUNING = {
    **{f"{part}.epochs": 0.01 for part in ("energy.schedule", "shape.flow.schedule")},
    "shape.autoencoder_schedule.epochs": 0.01,
    "shape.flow.bespoke.steps": 2,
    "shape.flow.bespoke.showers": 16,
    "validation": 20,
}

SHORTER = {
    r"caloforge (simulate|generate) (?!geant4 |.*own.h5).*-n ": "-n 20",
    r"caloforge simulate .* own.h5": "-n 100",
    r"caloforge simulate gflash .*-n 10000 .*(siw|scipb).h5$": "-n 100",
    r"caloforge simulate geant4 (?!.*-n 1000).*-n ": "-n 20 --workers 1",
    r"caloforge simulate geant4 .*-n 1000": "-n 200 --workers 1",
    r"caloforge simulate geant4 (?!.*--like)": "--energy 1GeV:2GeV",
    r"caloforge simulate hybrid ": "-n 2 --each 2 --energy 1GeV:2GeV",
    r"caloforge train (squirels-fast|my-recipe.yaml) ": shlex.join(settings(TINY_BRIDGE)),
    r"caloforge train squirels(-laptop)? ": shlex.join(settings(TINY_HALVES)),
    r"caloforge train calodream-ds2 ": shlex.join(settings(TINY_FLOW)),
    r"caloforge train denoising": "--set epochs=0.1 --set validation=20 --set features=4",
    r"caloforge train reweighting ": "--set epochs=1 --set validation=20",
    r"caloforge refine (weights|behind) ": "--least-effective 0",
    r"caloforge train (calodream-mesh-laptop )?--from ": shlex.join(settings(TINY_TUNING)),
    r"caloforge tune ": "--constants core_1",
    r"caloforge (evaluate|compare) ": "--no-classifier",
    r"caloforge produce ": "--workers 1",
    r"caloforge bench ": "--repeats 1 --batch-sizes 1 --threads 1 -n 1",
    r".*--device cuda": "--device cpu",
}
"""What is added to a command that takes long, or needs a GPU."""

LONG = (
    r"caloforge train squirels --out published",
    r"caloforge evaluate .*--(out calodream|out challenge|training|left-out|preset)",
    r"caloforge evaluate par04-geant4.h5 ",
)
"""What takes long even so is left to the slow tests."""

SHOWERS = 200
"""Files hold at most so many showers before the first command that takes long."""

QUICK = ("data", "models", "show", "reconstruct")


def _showers(name: str, number: int = SHOWERS) -> Callable[[Path], None]:
    return lambda path: convert(zoo.bundled_showers(name)[:number], path)


def _mixed(path: Path) -> None:
    """Electrons and photons from many directions."""
    showers = zoo.bundled_showers("par04-geant4")[:SHOWERS]
    beam = Gun(SHOWERS, read_spectrum("1GeV"), 1, read_species("e-:1,gamma:1"), Interval(0, 0.7))[:]
    particles = replace(showers.particles, pdg=beam.pdg, theta=beam.theta)
    convert(replace(showers, particles=particles), path)


def _model(path: Path) -> None:
    shutil.copytree(ROOT / "src/caloforge/zoo/models/calodream-ds2-laptop", path)


def _recipe(path: Path) -> None:
    shutil.copy(ROOT / "src/caloforge/systems/squirels-fast.yaml", path)


def _binning(path: Path) -> None:
    write_binning(path, {"electron": calochallenge_2()})


def _clouds(path: Path) -> None:
    """Points of the calorimeter of the ILD, as ShowerData has them."""
    calorimeter = ild_ecal()
    deposits = torch.zeros(5, calorimeter.n_cells)
    deposits[:, :5000:100] = 1.0
    showers = Showers(deposits, Particles([1e3] * 5, 22), calorimeter)
    convert(showers, path.with_suffix(".showerdata.h5"))
    path.with_suffix(".showerdata.h5").replace(path)


def _lemurs(path: Path) -> None:
    written(path, made_records())


CHALLENGE = {"dataset_2_2.hdf5": _showers("par04-geant4"), "mine.h5": _showers("par04-geant4", 600)}

GIVEN: dict[str, dict[str, Callable[[Path], None]]] = {
    "docs/commands.md": CHALLENGE | {"dataset_2_1.hdf5": _showers("par04-geant4")},
    "docs/howto/correct.md": {
        f"pairs/{name}-{use}.h5": _showers("pbwo4-geant4")
        for name in ("nominal", "modified")
        for use in ("train", "test")
    },
    "docs/howto/convert.md": {
        "dataset_2_1.h5": _showers("par04-geant4"),
        "clouds.h5": _clouds,
        "LEMURS_Par04SiW_gamma_100kEvents_1GeV1TeV_GPSflat_part1.h5": _lemurs,
    },
    "docs/howto/evaluate.md": {"train.h5": _showers("pbwo4-geant4-20gev", 100)},
    "docs/howto/geant4.md": {"reference.h5": _showers("par04-geant4", 20)},
    "docs/howto/generate.md": {"train.h5": _showers("par04-geant4"), "both.h5": _mixed},
    "docs/howto/models.md": {"my-model": _model},
    "docs/howto/presets.md": CHALLENGE,
    "docs/howto/show.md": {"mine.h5": _showers("par04-geant4"), "binning_mine.xml": _binning},
    "docs/howto/train.md": {
        "my-recipe.yaml": _recipe,
        "par04.h5": _showers("par04-geant4"),
        "mesh.h5": _mixed,
    },
    "docs/howto/tune.md": {
        f"{what}-{use}.h5": _showers(name)
        for what, name in {"geant4": "pbwo4-geant4", "par04": "par04-geant4"}.items()
        for use in ("train", "test")
    },
    "docs/theory/gflash-sampling.md": {"full.h5": _showers("par04-geant4", 50)},
}
"""Files of the reader's own that a page takes for granted, made small."""


def pages(names: Iterable[str]) -> list[ParameterSet]:
    """The pages to follow, any of them in any process; some need Geant4."""
    return [
        pytest.param(
            page,
            marks=[
                pytest.mark.xdist_group(page),
                *([needs_geant4] if any(map(asks_geant4, PAGES[page])) else []),
            ],
        )
        for page in names
    ]


def any_of(patterns: Iterable[str], step: Step) -> bool:
    """Whether a step is a command of one of these kinds."""
    return step.kind == "console" and any(re.match(pattern, step.text) for pattern in patterns)


def asks_geant4(step: Step) -> bool:
    """Whether a step needs the data of Geant4."""
    return any_of([r"caloforge simulate (geant4|hybrid) "], step) or "Geant4(" in step.text


@pytest.fixture
def follow_page(
    caloforge: Caloforge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Do what a page says, but for commands of some kinds, in a folder of its own; what it
    registers is forgotten afterwards.
    """
    for registry in (STAGES, SYSTEMS):
        registry.names()
        monkeypatch.setattr(registry, "_known", dict(registry._known))

    def followed(page: str, but: Iterable[str]) -> None:
        monkeypatch.chdir(tmp_path)
        for name, make in GIVEN.get(page, {}).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            make(tmp_path / name)
        write_yaml(page)
        names: dict[str, object] = {"__name__": "__main__"}
        for step in PAGES[page]:
            if step.kind == "python":
                exec(compile(step.text, page, "exec"), names)
            elif not any_of(but, step):
                with monkeypatch.context() as patch:
                    if "data geant4" in step.text:
                        patch.delenv("GEANT4_DATA_DIR", raising=False)
                        patch.setenv("HOME", str(tmp_path))
                    follow(step, caloforge)

    return followed


@pytest.mark.parametrize("page", pages(PAGES))
def test_a_page_can_be_followed(page: str, follow_page: Callable[..., None]) -> None:
    follow_page(page, but=(*NOT_RUN, *LONG))


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", pages(name for name, found in PAGES.items() if any(any_of(LONG, s) for s in found))
)
def test_a_page_can_be_followed_to_the_end(page: str, follow_page: Callable[..., None]) -> None:
    follow_page(page, but=NOT_RUN)


def write_yaml(page: str) -> None:
    """The YAML files that a page shows, each under the name that stands before it."""
    text = (ROOT / page).read_text()
    for block in BLOCK.finditer(text):
        if block[2] == "yaml":
            name = re.findall(r"`(\S+\.yaml)`", text[: block.start()])[-1]
            Path(name).write_text(block[3])


def follow(step: Step, caloforge: Caloforge) -> None:
    """Run a command, shortened if it is long, and compare with what the page says it prints."""
    words = shlex.split(step.text)[1:]
    if words[0] not in QUICK:
        for path in Path().glob("*.h5"):
            cut(path, SHOWERS)
    for pattern, more in SHORTER.items():
        words += shlex.split(more) if re.match(pattern, step.text) else []
    outcome = caloforge(*once(words))
    assert outcome.code == 0, f"{step.text}\n{outcome.err}"
    said = {" ".join(line.split()) for line in outcome.out.splitlines()}
    assert {" ".join(line.split()) for line in step.prints.splitlines()} <= said, outcome.out


def once(words: list[str]) -> list[str]:
    """The words with the last setting of each key alone."""
    last = {w.partition("=")[0]: k for k, w in enumerate(words) if words[k - 1] == "--set"}
    double = {
        k
        for k, word in enumerate(words)
        if words[k - 1] == "--set" and last[word.partition("=")[0]] != k
    }
    return [w for k, w in enumerate(words) if not {k, k + 1} & double]


def cut(path: Path, number: int) -> None:
    """Keep the first showers of a dense file alone."""
    with h5py.File(path) as file:
        if "hit_offsets" in file or "incident_energies" not in file:
            return
        with h5py.File(path.with_suffix(".cut"), "w") as shorter:
            shorter.attrs.update(file.attrs)
            for name, values in file.items():
                shorter[name] = values[:number]
    path.with_suffix(".cut").replace(path)

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from caloforge.detector.materials import IRON, LEAD, LIQUID_ARGON, POLYSTYRENE
from caloforge.errors import GeometryError
from caloforge.simulators import Homogeneous, Medium, Sampling, Tuning
from caloforge.simulators.gflash.parametrisation import profile, radial


def test_sampling_of_one_material_with_itself_is_that_material() -> None:
    one, mixed = Homogeneous(IRON).constants, Sampling(IRON, IRON, 3.0, 5.0).constants
    assert (
        mixed.z,
        mixed.radiation_length,
        mixed.critical_energy,
        mixed.moliere_radius,
        mixed.mismatch,
    ) == pytest.approx((one.z, one.radiation_length, one.critical_energy, one.moliere_radius, 0.0))
    assert mixed.period == pytest.approx(8 / IRON.radiation_length)


def test_effective_constants_do_not_depend_on_the_scale_of_the_layers() -> None:
    thin, thick = (Sampling(LEAD, LIQUID_ARGON, 2.0 * k, 4.0 * k).constants for k in (1, 3))
    assert thin[:3] == pytest.approx(thick[:3])
    assert thick.period == pytest.approx(3 * thin.period)
    assert thin.mismatch == pytest.approx(1 - 1 / (1 + 0.007 * (82 - 18)))


@pytest.mark.parametrize("layers", [(0.0, 1.0), (1.0, -1.0), (1.0, float("inf"))])
def test_layers_need_a_thickness(layers: tuple[float, float]) -> None:
    with pytest.raises(GeometryError, match="thickness is"):
        Sampling(LEAD, POLYSTYRENE, *layers)


def test_a_sampling_medium_needs_a_resolution() -> None:
    with pytest.raises(GeometryError, match="resolution is 0"):
        Sampling(LEAD, POLYSTYRENE, 1.0, 1.0, resolution=0)


def test_media_come_with_the_constants_of_their_kind() -> None:
    assert Homogeneous(IRON).tuning == Tuning()
    sampling = Sampling(LEAD, POLYSTYRENE, 1.0, 1.0).tuning
    changed = {
        f.name for f in fields(Tuning) if getattr(sampling, f.name) != getattr(Tuning(), f.name)
    }
    names = ["sigma_maximum", "sigma_alpha", "spots", "spot_maximum", "spot_alpha"]
    assert changed == {f"{name}_{i}" for name in names for i in (1, 2)} | {"correlation_1"}


@pytest.mark.parametrize("name", [f.name for f in fields(Tuning)])
def test_every_constant_has_an_effect(name: str) -> None:
    medium, tuning = Sampling(LEAD, LIQUID_ARGON, 2.0, 4.0).constants, Tuning.sampling()
    energies, normals = (
        torch.tensor([[2e4]], dtype=torch.float64),
        torch.tensor([[0.7, -1.2]], dtype=torch.float64),
    )
    tau = torch.linspace(0.1, 2.5, 5, dtype=torch.float64)[None]

    def everything(tuning: Tuning) -> Tensor:
        return torch.cat(
            [*profile(medium, tuning, energies, normals), *radial(medium, tuning, energies, tau)],
            dim=1,
        )

    moved = everything(replace(tuning, **{name: getattr(tuning, name) * 1.001 + 1e-6}))
    assert (moved != everything(tuning)).any()


def test_the_fluctuations_have_the_stated_moments() -> None:
    medium, tuning = Homogeneous(LEAD).constants, Tuning()
    energies = torch.full((100_000, 1), 3e4, dtype=torch.float64)
    normals = torch.randn(100_000, 2, dtype=torch.float64)
    found = profile(medium, tuning, energies, normals)
    log_y = torch.log(torch.tensor(3e4 / medium.critical_energy))
    logs = torch.cat([found.maximum.log(), found.alpha.log()], dim=1).T
    mean = torch.stack([(log_y - 0.812).log(), (0.81 + (0.458 + 2.26 / 82) * log_y).log()])
    sigma = torch.stack([1 / (-1.4 + 1.26 * log_y), 1 / (-0.58 + 0.86 * log_y)])
    torch.testing.assert_close(logs.mean(1), mean.double(), atol=2e-3, rtol=0)
    torch.testing.assert_close(logs.std(1), sigma.double(), atol=0, rtol=1e-2)
    assert float(torch.corrcoef(logs)[0, 1]) == pytest.approx(
        float(0.705 - 0.023 * log_y), abs=0.01
    )


@pytest.mark.parametrize("energy", [1e2, 1e3, 1e5, 1e7])
@pytest.mark.parametrize(
    "medium",
    [
        Homogeneous(LEAD),
        Homogeneous(POLYSTYRENE),
        Sampling(LEAD, LIQUID_ARGON, 2.0, 4.0),
        Sampling(LEAD, POLYSTYRENE, 9.0, 5.0),
    ],
)
def test_profiles_are_sound_at_any_energy(energy: float, medium: Medium) -> None:
    energies, normals = (
        torch.full((500, 1), energy, dtype=torch.float64),
        torch.randn(500, 2, dtype=torch.float64),
    )
    found = profile(medium.constants, medium.tuning, energies, normals)
    assert all(part.isfinite().all() for part in found)
    assert (found.alpha > 1).all()
    assert (found.spot_alpha > 1).all()
    shape = radial(
        medium.constants,
        medium.tuning,
        energies,
        torch.linspace(0.001, 20, 50, dtype=torch.float64).expand(500, 50),
    )
    assert (shape.core > 0).all()
    assert ((shape.weight >= 0) & (shape.weight <= 1)).all()

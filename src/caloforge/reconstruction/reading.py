"""Energies of a file's showers, a batch at a time, by the density of a surrogate."""

__all__ = ["density_of", "posteriors"]

from collections.abc import Iterator

from caloforge.errors import ModelError
from caloforge.learn.conditions import Condition
from caloforge.models import Surrogate
from caloforge.reconstruction.posterior import Density, EnergyPosterior, energy_posterior
from caloforge.showers import ShowerSource, spans
from caloforge.simulators.protocols import Progress, silent
from caloforge.spectra import LogUniform, Uniform


def density_of(surrogate: Surrogate) -> Density:
    """What a surrogate knows of how energies of layers are distributed.

    Arguments:
        surrogate: The surrogate.

    Raises:
        ModelError: It samples them and knows no density.
    """
    if isinstance(surrogate.energy, Density):
        return surrogate.energy
    msg = (
        f"model {surrogate.card.name} samples the energies of the layers and has no exact density "
        "of them: take one that makes them by a normalizing flow, such as caloflow-laptop"
    )
    raise ModelError(msg)


def posteriors(
    surrogate: Surrogate,
    showers: ShowerSource,
    prior: Uniform | LogUniform,
    *,
    batch_size: int = 1000,
    sharpness: float = 1.0,
    progress: Progress = silent,
) -> Iterator[EnergyPosterior]:
    """The posteriors of the incident energies of showers, a batch at a time, in bounded memory;
    that of a shower does not depend on the batch.

    Arguments:
        surrogate: What knows the density; on its device the posteriors are.
        showers: The showers; of their particles the energies are not looked at.
        prior: The distribution from which the energies come, in MeV.
        batch_size: Showers at a time.
        sharpness: The power of the likelihood, see `EnergyPosterior.sharpness_for`.
        progress: Given the number of showers just finished.

    Raises:
        GeometryMismatchError: The showers are of another calorimeter.
        ModelError: The surrogate knows no density.
        ShowerValueError: A shower deposits more than it can at any energy of the prior, or its
            particle is not of the kind that the surrogate knows.
    """
    density, device = density_of(surrogate), next(surrogate.parameters()).device
    surrogate.calorimeter.require(showers.calorimeter, "a sample to reconstruct")
    for span in spans(len(showers), batch_size):
        batch = showers[span].to(device)
        surrogate.require(batch.particles, span.start, strict=False)
        condition = Condition.of(batch)
        found = energy_posterior(density, condition, prior, first_index=span.start)
        progress(len(batch))
        yield found.calibrated(sharpness)

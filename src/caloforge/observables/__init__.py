r"""Physics of a shower: what is measured on it, one function each, with its unit.

Shower :math:`i` has incident energy :math:`E_i` and deposits :math:`e_{ic} \ge 0` in the cells
:math:`c`, all in MeV; lengths are in mm. Sums are taken in double precision, and nothing is ever
undefined: where there is no energy, ratios, centres and widths are
0. The groups, each with its definitions:

- `caloforge.observables.energies`: total, response, energies and shares of layers, ratios u;
- `caloforge.observables.cells`: hits, occupancy, sparsity, brightest cells, cell spectrum;
- `caloforge.observables.shapes`: centres and widths of the shower and of its layers, radial
  moments;
- `caloforge.observables.profiles`: profiles in x, y, r and depth, the depth of rings and sectors;
- `caloforge.observables.features`: the numbers that classifiers and Fréchet distances take.

An `Observable` names such a function, says in which unit and on which scale its values are
compared, and how many values a shower has (`Entry`): one, one a cell, an energy at each of several
positions, or one at each of several labels. `catalogue` lists those that a calorimeter allows;
`SQUIRELS` is the set of arXiv:2308.12339, figures 1 to 5. All observables of one batch of showers
share one pass over its deposits.
"""

__all__ = [
    "BRIGHTEST",
    "CENTRE_X",
    "CENTRE_Y",
    "CENTRE_Z",
    "DEPTH_ALPHA",
    "DEPTH_R",
    "ENERGY_SUM",
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
    "THRESHOLD",
    "U_RATIOS",
    "WIDTH_X",
    "WIDTH_Y",
    "WIDTH_Z",
    "Entry",
    "Observable",
    "Scale",
    "brightest_fractions",
    "catalogue",
    "cell_energies",
    "cell_spectrum",
    "centre_x",
    "centre_y",
    "centre_z",
    "depth_alpha",
    "depth_r",
    "energy_ratios",
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
]

from caloforge.observables.catalogue import (
    SQUIRELS,
    catalogue,
)
from caloforge.observables.cells import (
    BRIGHTEST,
    LOG_SPECTRUM,
    MAX_ENERGY,
    MAX_FRACTION,
    N_HITS,
    OCCUPANCY,
    SPARSITY,
    SPECTRUM,
    THRESHOLD,
    brightest_fractions,
    cell_energies,
    cell_spectrum,
    max_energy,
    max_fraction,
    n_hits,
    occupancy,
    sparsity,
)
from caloforge.observables.energies import (
    ENERGY_SUM,
    LAYER_ENERGY,
    LAYER_FRACTION,
    LAYERS,
    RESPONSE,
    U_RATIOS,
    energy_ratios,
    layer_energies,
    layer_fractions,
    response,
    total_energy,
    u_ratios,
)
from caloforge.observables.features import (
    SHOWER_LEVEL,
    feature_names,
    high_level_features,
    shower_level_features,
)
from caloforge.observables.profiles import (
    DEPTH_ALPHA,
    DEPTH_R,
    PROFILE_R,
    PROFILE_X,
    PROFILE_Y,
    depth_alpha,
    depth_r,
    profile_r,
    profile_x,
    profile_y,
)
from caloforge.observables.records import (
    Entry,
    Observable,
    Scale,
)
from caloforge.observables.shapes import (
    CENTRE_X,
    CENTRE_Y,
    CENTRE_Z,
    LAYER_CENTRE_R,
    LAYER_CENTRE_X,
    LAYER_CENTRE_Y,
    LAYER_WIDTH_R,
    LAYER_WIDTH_X,
    LAYER_WIDTH_Y,
    RADIUS_MEAN,
    RADIUS_RMS,
    WIDTH_X,
    WIDTH_Y,
    WIDTH_Z,
    centre_x,
    centre_y,
    centre_z,
    layer_centre_r,
    layer_centre_x,
    layer_centre_y,
    layer_width_r,
    layer_width_x,
    layer_width_y,
    radius_mean,
    radius_rms,
    width_x,
    width_y,
    width_z,
)

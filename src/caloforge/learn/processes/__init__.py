"""How a distribution is learned and sampled."""

__all__ = [
    "EULER",
    "HEUN",
    "MIDPOINT",
    "PATHS",
    "RK4",
    "SOLVERS",
    "Autoencoder",
    "AutoregressiveFlow",
    "AutoregressiveNetwork",
    "BespokeSolver",
    "Bijection",
    "CrossEntropy",
    "DensityDistillation",
    "Displacement",
    "Distillation",
    "FlowBridge",
    "FlowMatching",
    "Game",
    "Hurdle",
    "HurdleAutoencoder",
    "HurdleNoise",
    "Linear",
    "Network",
    "NormalizingFlow",
    "Path",
    "Process",
    "RungeKutta",
    "Sampler",
    "SchroedingerBridge",
    "Score",
    "SquaredTrigonometric",
    "Steps",
    "Stepwise",
    "Trajectory",
    "Trigonometric",
    "VariancePreserving",
    "Variational",
    "Velocity",
    "Wasserstein",
    "coupled",
    "global_truncation",
    "gram",
    "integrate",
    "local_truncation",
    "random_signs",
    "standard_normal",
    "trace",
]

from caloforge.learn.processes.adversarial import CrossEntropy, Game, Score, Wasserstein
from caloforge.learn.processes.autoregressive import AutoregressiveFlow, AutoregressiveNetwork
from caloforge.learn.processes.bespoke import (
    BespokeSolver,
    global_truncation,
    gram,
    local_truncation,
)
from caloforge.learn.processes.coupling import coupled
from caloforge.learn.processes.density_distillation import DensityDistillation, Stepwise
from caloforge.learn.processes.distillation import Distillation
from caloforge.learn.processes.flow import (
    PATHS,
    FlowBridge,
    FlowMatching,
    Linear,
    Network,
    Path,
    SquaredTrigonometric,
    Trigonometric,
    VariancePreserving,
    random_signs,
    standard_normal,
)
from caloforge.learn.processes.hurdle import Hurdle, HurdleAutoencoder, HurdleNoise
from caloforge.learn.processes.normalizing import Bijection, NormalizingFlow
from caloforge.learn.processes.process import Process
from caloforge.learn.processes.schroedinger import Displacement, SchroedingerBridge
from caloforge.learn.processes.solvers import (
    EULER,
    HEUN,
    MIDPOINT,
    RK4,
    SOLVERS,
    RungeKutta,
    Sampler,
    Steps,
    Trajectory,
    Velocity,
    integrate,
    trace,
)
from caloforge.learn.processes.variational import Autoencoder, Variational

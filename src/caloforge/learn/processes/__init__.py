"""How a distribution is learned and sampled."""

__all__ = [
    "EULER",
    "HEUN",
    "MIDPOINT",
    "RK4",
    "SOLVERS",
    "Autoencoder",
    "AutoregressiveFlow",
    "AutoregressiveNetwork",
    "Displacement",
    "FlowBridge",
    "Linear",
    "Path",
    "RungeKutta",
    "SchroedingerBridge",
    "Trigonometric",
    "Variational",
    "integrate",
]

from caloforge.learn.processes.autoregressive import AutoregressiveFlow, AutoregressiveNetwork
from caloforge.learn.processes.flow import FlowBridge, Linear, Path, Trigonometric
from caloforge.learn.processes.schroedinger import Displacement, SchroedingerBridge
from caloforge.learn.processes.solvers import EULER, HEUN, MIDPOINT, RK4, SOLVERS, RungeKutta, integrate
from caloforge.learn.processes.variational import Autoencoder, Variational

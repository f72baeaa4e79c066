"""Plain torch modules. They know shapes, not physics."""

__all__ = [
    "ConvolutionalAutoencoder",
    "DihedralLinear",
    "DihedralNetwork",
    "HitAutoencoder",
    "SquirelsEnergyNetwork",
    "SquirelsShapeNetwork",
    "Transfusion",
    "VisionTransformer",
    "sinusoids",
]

from caloforge.learn.networks.autoencoder import ConvolutionalAutoencoder
from caloforge.learn.networks.dihedral import DihedralLinear, DihedralNetwork
from caloforge.learn.networks.embedding import sinusoids
from caloforge.learn.networks.hits import HitAutoencoder
from caloforge.learn.networks.squirels import SquirelsEnergyNetwork, SquirelsShapeNetwork
from caloforge.learn.networks.transfusion import Transfusion
from caloforge.learn.networks.vision import VisionTransformer

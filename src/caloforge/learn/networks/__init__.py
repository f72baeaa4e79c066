"""Plain torch modules. They know shapes, not physics."""

__all__ = [
    "CellTransformer",
    "ConvolutionalAutoencoder",
    "ConvolutionalFlow",
    "DenoisingNetwork",
    "DihedralLinear",
    "DihedralNetwork",
    "FieldScore",
    "HeadSizes",
    "HitAutoencoder",
    "LayeredCritic",
    "LayeredGenerator",
    "MaskedFlow",
    "NearbyTransformer",
    "OnePass",
    "RationalQuadraticSpline",
    "ScoreSizes",
    "SquashedNetwork",
    "SquirelsEnergyNetwork",
    "SquirelsShapeNetwork",
    "Transfusion",
    "TransposedGenerator",
    "UNet",
    "UNetDesign",
    "VisionTransformer",
    "group_norm",
    "sinusoids",
    "windows",
]

from caloforge.learn.networks.autoencoder import ConvolutionalAutoencoder
from caloforge.learn.networks.cell_transformer import CellTransformer
from caloforge.learn.networks.convolution_stack import DenoisingNetwork
from caloforge.learn.networks.convolutional_flow import ConvolutionalFlow
from caloforge.learn.networks.dihedral import DihedralLinear, DihedralNetwork
from caloforge.learn.networks.embedding import sinusoids
from caloforge.learn.networks.hit_network import HitAutoencoder
from caloforge.learn.networks.layered_images import LayeredCritic, LayeredGenerator
from caloforge.learn.networks.masked import MaskedFlow, OnePass
from caloforge.learn.networks.nearby import NearbyTransformer, windows
from caloforge.learn.networks.spline import RationalQuadraticSpline
from caloforge.learn.networks.squashed import SquashedNetwork
from caloforge.learn.networks.squirels_networks import SquirelsEnergyNetwork, SquirelsShapeNetwork
from caloforge.learn.networks.transfusion import HeadSizes, Transfusion
from caloforge.learn.networks.transposed import FieldScore, ScoreSizes, TransposedGenerator
from caloforge.learn.networks.unet import UNet, UNetDesign, group_norm
from caloforge.learn.networks.vision import VisionTransformer

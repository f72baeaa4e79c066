"""Where numbers were made: the machine and the versions of what made them."""

__all__ = ["machine", "versions"]

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

_PACKAGES = ("caloforge", "torch", "numpy", "scipy", "h5py")
_CPU_INFO = Path("/proc/cpuinfo")


def machine() -> dict[str, str]:
    """The machine: processor, cores, threads, accelerator and operating system."""
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "torch threads": str(torch.get_num_threads()),
        "accelerator": accelerator,
        "system": f"{platform.system()} {platform.release()} ({platform.machine()})",
    }


def versions() -> dict[str, str]:
    """The versions of Python and of the packages behind the numbers."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def _processor() -> str:
    lines = _CPU_INFO.read_text().splitlines() if _CPU_INFO.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()

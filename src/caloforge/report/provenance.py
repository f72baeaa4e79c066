"""Where numbers come from: when and by which command they were made, the machine, the versions."""

__all__ = ["machine", "made", "versions"]

import os
import platform
import shlex
import sys
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import torch

from caloforge.documents import printable

_PACKAGES = ("caloforge", "torch", "numpy", "scipy", "h5py")
_CPU_INFO = Path("/proc/cpuinfo")


def made() -> dict[str, str]:
    """The date, and the words by which the program was started."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": printable(shlex.join(words)),
    }


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

"""Detectors as YAML: those of the package and those of one's own."""

__all__ = ["detector_names", "load_detector", "write_detector"]

from pathlib import Path

import yaml

from caloforge.bundled import DETECTORS
from caloforge.detector.description import Detector
from caloforge.documents import read_yaml
from caloforge.errors import GeometryError
from caloforge.paths import require_writable


def detector_names() -> tuple[str, ...]:
    """The names of the detectors that come with the package."""
    return DETECTORS.names()


def load_detector(name: str) -> Detector:
    """Read a detector.

    Arguments:
        name: The name of a detector of the package, or the path of a YAML file.

    Raises:
        GeometryError: There is no such detector, it has an unknown key, lacks one, or is
            impossible.
    """
    what = f"detector {name}"
    return Detector.from_description(read_yaml(DETECTORS.find(name), what, GeometryError), what)


def write_detector(path: Path | str, detector: Detector, *, overwrite: bool = False) -> None:
    """Write a detector as YAML, to be changed and read again by `load_detector`.

    Raises:
        OutputExistsError: The path exists and may not be overwritten.
        OutputError: It is a folder, or its folder is missing or closed to writing.
    """
    path = Path(path)
    require_writable(path, overwrite=overwrite)
    path.write_text(yaml.safe_dump(detector.describe(), sort_keys=False))

"""Packages that are not always installed, imported where they are needed."""

__all__ = ["optional_package"]

from importlib import import_module
from typing import Any

from caloforge.errors import PackageError


def optional_package(name: str, extra: str) -> Any:
    """Import a package.

    Arguments:
        name: The module.
        extra: The extra of caloforge that brings it.

    Raises:
        PackageError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.split(".")[0]
        msg = f"package {package} is not installed: python -m pip install 'caloforge[{extra}]'"
        raise PackageError(msg) from error

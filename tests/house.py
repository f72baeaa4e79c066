"""How the house stands: counts over its syntax trees, printed by ``python -m tests.house``.

Each count is one of the promises of CONTRIBUTING; `tests/test_house.py` holds them.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import caloforge
from caloforge.geometry import Calorimeter

ROOT = Path(caloforge.__file__).parent

FLOORS = (
    ("units", "errors", "gradients", "streams", "shown", "packages"),
    ("documents", "paths", "bundled", "species"),
    ("spectra",),
    ("geometry",),
    ("detector",),
    ("particles",),
    ("gun",),
    ("hits", "points", "ragged", "showers", "exchange"),
    ("io",),
    ("simulators",),
    ("observables",),
    ("metrics",),
    ("learn",),
    ("classifiers",),
    ("models",),
    ("systems",),
    ("zoo",),
    ("chain",),
    ("hybrid",),
    ("production",),
    ("export",),
    ("reconstruction",),
    ("published",),
    ("evaluation",),
    ("report",),
    ("design",),
    ("timing",),
    ("cli",),
)
"""The rooms from the ground up: imports run downward alone."""

GEOMETRIES = {"Calorimeter", *(kind.__name__ for kind in Calorimeter.kinds.values())}
MOST_COLUMNS, MOST_LINES, MOST_ARGUMENTS, MOST_HEAD = 100, 60, 9, 15


@cache
def trees() -> dict[Path, ast.Module]:
    """Every module of the package, parsed."""
    return {path: ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def where(path: Path, node: ast.AST) -> str:
    """A place, as an editor takes it."""
    return f"{path.relative_to(ROOT.parent)}:{getattr(node, 'lineno', 0)}"


def room(module: str) -> str:
    """The room of a module of the package."""
    return module.removeprefix("caloforge.").split(".")[0]


def functions() -> Iterator[tuple[Path, ast.FunctionDef, int]]:
    """Every function, with its number of lines without its docstring."""
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                yield path, node, _lines(node)


def _lines(function: ast.FunctionDef) -> int:
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    """Every call of a function or of a method by this name."""
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name:
                yield path, node


def imports() -> Iterator[tuple[Path, ast.stmt, str]]:
    """Every import of a module of the package from within it, also those for the types alone."""
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("caloforge."):
                yield path, node, room(node.module or "")
            elif isinstance(node, ast.ImportFrom) and node.module == "caloforge":
                for alias in node.names:
                    yield path, node, alias.name


def upward_imports() -> list[str]:
    """Imports from a room above."""
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    found = []
    for path, node, target in imports():
        home = room(".".join(path.relative_to(ROOT.parent).with_suffix("").parts))
        if target in floor and home in floor and floor[target] > floor[home]:
            found.append(f"{where(path, node)} imports {target}")
    return found


def rooms_without_a_floor() -> list[str]:
    """Rooms that the list of floors does not know."""
    names = {path.stem for path in ROOT.glob("*.py")} | {
        p.parent.name for p in ROOT.glob("*/__init__.py")
    }
    return sorted(names - {"__init__", *(name for names in FLOORS for name in names)})


def geometry_checks() -> list[str]:
    """Questions after the class of a calorimeter outside ``geometry``."""
    return [
        where(path, node)
        for path, tree in trees().items()
        if path.relative_to(ROOT).parts[0] != "geometry"
        for node in ast.walk(tree)
        if asks_for_geometry(node)
    ]


def asks_for_geometry(node: ast.AST) -> bool:
    """Whether a piece of code asks for the class of a calorimeter, as a check or as a case."""
    match node:
        case ast.Call(func=ast.Name("isinstance" | "issubclass"), args=[_, classes]):
            named = classes
        case ast.MatchClass(cls=classes):
            named = classes
        case _:
            return False
    return any(isinstance(n, ast.Name) and n.id in GEOMETRIES for n in ast.walk(named))


def training_loops() -> list[str]:
    """Places that step an optimiser along a gradient."""
    return [where(path, call) for path, call in calls("backward")]


def fit_signatures() -> dict[str, list[str]]:
    """The different arguments of methods named ``fit``, with the places that have them."""
    found: dict[str, list[str]] = {}
    for path, function, _ in functions():
        if function.name == "fit":
            names = ", ".join(a.arg for a in (*function.args.args, *function.args.kwonlyargs))
            found.setdefault(names, []).append(where(path, function))
    return found


def shared_file_names() -> dict[str, int]:
    """Names that more than one file has."""
    counts = Counter(
        path.name for path in trees() if path.name not in {"__init__.py", "__main__.py"}
    )
    return {name: number for name, number in counts.items() if number > 1}


def quantile(part: float) -> int:
    """The number of lines that so large a part of the functions stays below."""
    lengths = sorted(lines for *_, lines in functions())
    return lengths[min(len(lengths) - 1, int(part * len(lengths)))]


def long_functions() -> list[str]:
    """Functions of more than `MOST_LINES` lines."""
    return [f"{where(p, f)} {f.name} ({n})" for p, f, n in functions() if n > MOST_LINES]


def many_arguments() -> list[str]:
    """Functions of more than `MOST_ARGUMENTS` arguments."""
    found = []
    for path, function, _ in functions():
        given = [a.arg for a in (*function.args.args, *function.args.kwonlyargs)]
        number = len([name for name in given if name not in {"self", "cls"}])
        if number > MOST_ARGUMENTS:
            found.append(f"{where(path, function)} {function.name} ({number})")
    return found


def long_lines() -> list[str]:
    """Lines of more than `MOST_COLUMNS` columns, but for addresses that cannot be broken."""
    return [
        f"{path.relative_to(ROOT.parent)}:{number}"
        for path in trees()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > MOST_COLUMNS and "http" not in line and "# type: ignore" not in line
    ]


def long_heads() -> list[str]:
    """Modules whose docstring has more than `MOST_HEAD` lines."""
    return [
        f"{path.relative_to(ROOT.parent)} ({lines})"
        for path, tree in trees().items()
        if (lines := len((ast.get_docstring(tree) or "").splitlines())) > MOST_HEAD
    ]


COUNTS = {
    "modules": lambda: len(trees()),
    "functions": lambda: sum(1 for _ in functions()),
    "lines of a function, median": lambda: quantile(0.5),
    "lines of a function, 90 %": lambda: quantile(0.9),
    "lines of a function, longest": lambda: quantile(1.0),
    "functions of more than 9 arguments": many_arguments,
    "lines of more than 100 columns": long_lines,
    "module heads of more than 15 lines": long_heads,
    "imports upward": upward_imports,
    "rooms without a floor": rooms_without_a_floor,
    "isinstance of a geometry outside geometry/": geometry_checks,
    "training loops": training_loops,
    "signatures of fit": fit_signatures,
    "files of one name": shared_file_names,
}


def report() -> Iterator[str]:
    """A line a count, with the places where there are some."""
    for title, count in COUNTS.items():
        found = count()
        number = found if isinstance(found, int) else len(found)
        yield f"{number:6d}  {title}"
        if not isinstance(found, int):
            places = found.items() if isinstance(found, dict) else found
            yield from (f"          {place}" for place in places)


if __name__ == "__main__":
    print("\n".join(report()))  # noqa: T201

"""Fill README and docs/results.md with what the package does here and now: `make readme`.

Runs the demo and takes over its output, its last lines into README, and one of its figures; makes
the table of results from the cards of the models.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap

from caloforge import zoo
from caloforge.models import Bridge
from caloforge.models.registry import SYSTEMS

ROOT = Path(__file__).parent.parent
README, RESULTS = ROOT / "README.md", ROOT / "docs" / "results.md"
IMAGES = ROOT / "docs" / "images"
FIGURE = "shower.png"
WIDTH = 100
"""Longer lines are broken, as a terminal does."""
SHORT = "ms a shower:"
"""How the lines of README begin; they end before the one that names the page."""
OBSERVABLES = {
    "energy_sum": "total energy [MeV]",
    "cell_energy": "cell energies [MeV]",
    "cell_energy_log": "cell energies [decades]",
    "n_hits": "hits above 1 MeV",
    "max_energy": "brightest cell [MeV]",
}


def demo() -> list[str]:
    """Run the demo, keep its figure, and give the lines that it prints."""
    with TemporaryDirectory() as folder:
        words = [sys.executable, "-c", "from caloforge.cli import main; main()", "demo"]
        printed = subprocess.run(
            words, cwd=folder, check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        IMAGES.mkdir(exist_ok=True)
        figures = Path(folder) / "demo-output" / "report" / "figures"
        shutil.copy(figures / FIGURE, IMAGES / FIGURE)
    return [
        part
        for line in printed.splitlines()
        for part in (wrap(line, WIDTH) if len(line) > WIDTH else [line.rstrip()])
    ]


def quoted(lines: list[str]) -> str:
    """Lines as a block of Markdown."""
    return "\n".join(["```text", *lines, "```"])


def results() -> str:
    """The distances of the refiners' cards, as a table in Markdown."""
    cards = [
        card for card in map(zoo.card, zoo.names()) if issubclass(SYSTEMS[card.system].kind, Bridge)
    ]
    header = ["showers", "observable", "floor", "GFlash", *(f"`{card.name}`" for card in cards)]
    lines = [header, ["---", "---", *["---:"] * (len(header) - 2)]]
    for sample in cards[0].metrics:
        measured = [card.metrics[sample] for card in cards]
        for key, title in OBSERVABLES.items():
            numbers = [m["wasserstein"][key] for m in measured]
            distances = [numbers[0]["floor"], numbers[0]["fast"], *(n["distance"] for n in numbers)]
            lines.append(
                [
                    sample.split(" electrons")[0],
                    title,
                    *(f"{d:.2g}" if d < 10 else f"{d:.0f}" for d in distances),
                ]
            )
        aucs = [0.5, measured[0]["auc_fast"], *(m["auc"] for m in measured)]
        lines.append(
            [sample.split(" electrons")[0], "AUC of a classifier", *(f"{auc:.3f}" for auc in aucs)]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def filled(page: str, section: str, text: str) -> str:
    """The page with the text of one section replaced."""
    pattern = rf"(<!-- {section}:begin -->\n).*?(<!-- {section}:end -->)"
    return re.sub(pattern, lambda match: f"{match[1]}{text}\n{match[2]}", page, flags=re.DOTALL)


def main() -> None:
    """Rewrite both pages."""
    said = demo()
    start = next(i for i, line in enumerate(said) if line.startswith(SHORT))
    short = said[start:-1]
    for path, section, text in (
        (README, "demo", quoted(short)),
        (RESULTS, "demo", quoted(said)),
        (RESULTS, "results", results()),
    ):
        path.write_text(filled(path.read_text(), section, text))


if __name__ == "__main__":
    main()

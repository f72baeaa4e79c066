"""Plots into axes that are given: the same numbers as in the report, in the style that is set."""

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from caloforge.errors import ShowerValueError
from caloforge.evaluation import Evaluation
from caloforge.observables import ENERGY_SUM, LAYER_ENERGY, N_HITS
from caloforge.report import plot_distances, plot_observable
from caloforge.report.histograms import binned
from tests.evaluation.samples import complete


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return complete((ENERGY_SUM, N_HITS, LAYER_ENERGY))


def test_a_histogram_is_drawn_into_the_axes_that_are_given(evaluation: Evaluation) -> None:
    main, ratio = Figure().subplots(2, 1)
    assert plot_observable(evaluation, "n_hits", main, ratio) is main
    drawn = {line.get_label().partition(" (")[0]: line.get_ydata() for line in main.lines}
    heights = {
        sample.name: one.mean
        for sample, one in zip(evaluation.samples, binned(N_HITS, evaluation.samples), strict=True)
    }
    for candidate in evaluation.candidates:
        assert drawn[candidate.name][::2] == pytest.approx(heights[candidate.name])
    assert ratio.get_ylabel() == "ratio"
    assert N_HITS.symbol in ratio.get_xlabel()


def test_ratios_are_left_out_where_there_are_no_axes_for_them(evaluation: Evaluation) -> None:
    figure = Figure()
    main = plot_observable(evaluation, N_HITS, figure.subplots())
    assert figure.axes == [main]
    assert N_HITS.symbol in main.get_xlabel()


def test_a_series_is_drawn_at_its_worst_label(evaluation: Evaluation) -> None:
    main = plot_observable(evaluation, "layer_energy", Figure().subplots())
    assert main.get_title(loc="left").startswith("layer ")


def test_distances_stand_on_one_axis(evaluation: Evaluation) -> None:
    ax = plot_distances(evaluation, Figure().subplots())
    titles = [text.get_text() for text in ax.get_yticklabels()]
    assert titles == [o.title for o in evaluation.observables]


def test_the_style_that_is_set_is_honoured(evaluation: Evaluation) -> None:
    with mpl.rc_context({"axes.labelsize": 31}):
        main = plot_observable(evaluation, "n_hits", Figure().subplots())
    assert main.xaxis.label.get_fontsize() == 31


def test_without_axes_there_is_a_new_figure(evaluation: Evaluation) -> None:
    from matplotlib import pyplot

    backend, before = mpl.get_backend(), pyplot.get_fignums()
    pyplot.switch_backend("agg")
    try:
        for ax in (plot_observable(evaluation, "n_hits"), plot_distances(evaluation)):
            assert ax.figure.number not in before  # type: ignore[union-attr]
            pyplot.close(ax.figure)  # type: ignore[arg-type]
    finally:
        pyplot.switch_backend(backend)


def test_an_observable_that_is_not_there_is_named(evaluation: Evaluation) -> None:
    with pytest.raises(ShowerValueError, match=r"'n_hit': not in this .* energy_sum, n_hits"):
        plot_observable(evaluation, "n_hit")

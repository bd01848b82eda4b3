"""Plots: what is drawn is the data, and a figure has the same bytes each time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import DataError
from lgpi_research.plots import (
    COLOURS,
    close,
    correlations,
    curve,
    heat,
    histogram,
    intervals,
    legend,
    new_axes,
    save_figure,
    scatter,
    styled,
    threshold,
)

MIDDLE = np.array([0.2, 0.5, 0.9])


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


def some_intervals(n: int = 3) -> mpl.axes.Axes:
    middle = np.resize(MIDDLE, n)
    labels = [f"unit {i}" for i in range(n)]
    return intervals(new_axes(), labels, middle, middle - 0.1, middle + 0.05, label="share")


def test_the_users_settings_stay() -> None:
    before = dict(mpl.rcParams)
    with styled():
        assert mpl.rcParams["axes.spines.top"] is False
    some_intervals()
    assert dict(mpl.rcParams) == before


def test_axes_are_taken_or_made_and_forgotten() -> None:
    ax = new_axes(size=(3.0, 2.0))
    assert new_axes(ax) is ax
    assert_allclose(ax.figure.get_size_inches(), (3.0, 2.0))
    other = new_axes()
    assert len(plt.get_fignums()) == 2
    close(ax)
    assert [plt.figure(number) for number in plt.get_fignums()] == [other.figure]


def test_many_figures_can_be_written_one_after_the_other(tmp_path: Path) -> None:
    for _ in range(plt.rcParams["figure.max_open_warning"] + 2):
        ax = new_axes(size=(1.0, 1.0))
        close(ax)
    save_figure(ax, tmp_path / "closed.png")  # a closed figure can still be written


def test_importing_the_module_does_not_import_matplotlib() -> None:
    program = "import sys, lgpi_research.plots; print('matplotlib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_intervals_show_the_numbers_first_on_top() -> None:
    ax = some_intervals()
    (lines,) = (c for c in ax.collections if isinstance(c, LineCollection))
    (points,) = (c for c in ax.collections if isinstance(c, PathCollection))
    segments = np.array(lines.get_segments())
    assert_allclose(segments[:, :, 0], np.column_stack([MIDDLE - 0.1, MIDDLE + 0.05]))
    assert_allclose(points.get_offsets(), np.column_stack([MIDDLE, np.arange(3)]))
    assert [text.get_text() for text in ax.get_yticklabels()] == ["unit 0", "unit 1", "unit 2"]
    bottom, top = ax.get_ylim()
    assert bottom > top
    assert points.get_label() == "share"


def test_many_intervals_go_without_names() -> None:
    assert len(some_intervals(60).get_yticklabels()) == 60
    assert some_intervals(61).get_yticklabels() == []


def test_scatter_and_heat_show_the_numbers() -> None:
    points = scatter(new_axes(), MIDDLE, MIDDLE**2).collections[0]
    assert_allclose(points.get_offsets(), np.column_stack([MIDDLE, MIDDLE**2]))
    values = np.arange(6.0).reshape(2, 3) / 5
    ax = heat(new_axes(), values, ["a", "b"], ["x", "y", "z"])
    assert_array_equal(ax.images[0].get_array(), values)
    assert ax.images[0].get_clim() == (0.0, 1.0)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["x", "y", "z"]


def test_primitives_return_the_axes_they_were_given() -> None:
    ax = new_axes()
    assert scatter(ax, MIDDLE, MIDDLE) is ax
    assert intervals(ax, ["a", "b", "c"], MIDDLE, MIDDLE, MIDDLE) is ax
    assert curve(ax, MIDDLE, MIDDLE) is ax
    assert heat(ax, np.eye(2), ["a", "b"], ["c", "d"]) is ax


def test_scatter_of_nothing() -> None:
    assert len(scatter(new_axes(), np.array([]), np.array([])).collections[0].get_offsets()) == 0


def test_a_curve_runs_in_the_order_of_its_horizontal_axis() -> None:
    ax = curve(new_axes(), np.array([3.0, 1.0, 2.0]), np.array([9.0, 1.0, 4.0]))
    assert_array_equal(ax.lines[0].get_xydata(), [[1, 1], [2, 4], [3, 9]])


def test_colours_differ() -> None:
    assert len({mpl.colors.to_rgb(colour) for colour in COLOURS.values()}) == len(COLOURS)


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_the_same_figure_has_the_same_bytes(tmp_path: Path, ending: str) -> None:
    files = [save_figure(some_intervals(), tmp_path / f"{name}.{ending}") for name in "ab"]
    one, two = (file.read_bytes() for file in files)
    assert one == two
    start = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[ending]
    assert one.startswith(start)
    assert not any(word in one for word in (b"Software", b"CreationDate", b"<dc:date>"))


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    here = save_figure(some_intervals(), tmp_path / "here.pdf")
    program = (
        "import sys; from pathlib import Path\n"
        "from tests.test_plots import save_figure, some_intervals\n"
        "save_figure(some_intervals(), Path(sys.argv[1]))\n"
    )
    there = tmp_path / "there.pdf"
    root = Path(__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-c", program, str(there)], cwd=root, check=True)
    assert here.read_bytes() == there.read_bytes()


def test_labels_may_hold_any_letters(tmp_path: Path) -> None:
    labels = ["Гостомель", "Łódź & <b>", "a $x$ b_c"]
    ax = intervals(new_axes(), labels, MIDDLE, MIDDLE - 0.1, MIDDLE + 0.1)
    save_figure(ax, tmp_path / "labels.png")


@pytest.mark.parametrize("name", ["figure.jpg", "figure", "figure.png.exe"])
def test_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"figures are written as \.png, \.pdf, \.svg"):
        save_figure(some_intervals(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Cannot write figure\.png: No such file or directory"):
        save_figure(some_intervals(), tmp_path / "nowhere" / "figure.png")


def test_intervals_side_by_side_have_a_legend_each() -> None:
    ax = new_axes()
    for label, shift in (("first", -0.2), ("second", 0.2)):
        intervals(ax, ["a", "b", "c"], MIDDLE, MIDDLE, MIDDLE, label=label, shift=shift)
    dots = [found for found in ax.collections if isinstance(found, PathCollection)]
    assert_allclose(dots[0].get_offsets()[:, 1], [-0.2, 0.8, 1.8])
    assert_allclose(dots[1].get_offsets()[:, 1], [0.2, 1.2, 2.2])
    legend(ax)
    texts = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert texts == ["first", "second"]


def test_a_threshold_is_a_level_line() -> None:
    line = threshold(new_axes(), 0.7).lines[0]
    assert_allclose(line.get_ydata(), 0.7)


def test_a_histogram_holds_every_value_and_their_mean() -> None:
    values = np.array([0.1, 0.2, 0.2, 0.4, 0.9])
    ax = histogram(new_axes(), values)
    assert sum(patch.get_height() for patch in ax.patches) == 5
    assert_allclose(ax.lines[0].get_xdata(), values.mean())


def test_a_correlation_matrix_is_drawn_and_written() -> None:
    matrix = np.array([[1.0, -0.25], [-0.25, np.nan]])
    ax = correlations(new_axes(), matrix, ["roads", "rates"])
    assert_array_equal(ax.images[0].get_array(), np.ma.masked_invalid(matrix))
    assert [text.get_text() for text in ax.texts] == ["1.00", "-.25", "-.25"]
    assert ax.images[0].get_clim() == (-1.0, 1.0)

"""Heat maps become boxes."""

import numpy as np
import numpy.typing as npt
import pytest

from birdsearch.regions import heat


def bump(row: float, column: float, size: float = 1.2, side: int = 14, height: float = 1.0) -> npt.NDArray[np.float64]:
    """A map that is warm around one cell."""
    rows, columns = np.mgrid[:side, :side]
    return np.asarray(height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * size**2)))


def test_a_spot_is_where_the_map_is_hot() -> None:
    spot = heat.spots(heat.smooth(bump(3, 10)))[0]
    assert spot.box.x < 10.5 / 14 < spot.box.x + spot.box.width
    assert spot.box.y < 3.5 / 14 < spot.box.y + spot.box.height
    assert spot.box.area < 0.15
    assert spot.height == 1
    assert spot.peak == pytest.approx((3.5 * 8, 10.5 * 8), abs=1)


def test_spots_are_sorted_and_found_by_a_point() -> None:
    both = heat.smooth(bump(3, 3) + bump(10, 10, height=0.8))
    first, second = heat.spots(both)
    assert first.height > second.height > 0.7
    assert heat.spot_at(both, second.peak) == second.box
    assert heat.spot_at(both, (0, heat.GRID - 1)) is None


def test_a_shift_moves_the_map_right_and_down() -> None:
    still, moved = (heat.spots(heat.smooth(bump(7, 7), shift))[0].peak for shift in (0, 0.5))
    assert moved == (still[0] + 4, still[1] + 4)


def test_a_flat_map_is_one_spot_or_none_and_no_error() -> None:
    for spot in heat.spots(heat.smooth(np.ones((14, 14)))):
        assert spot.box.area <= 1


def test_an_object_is_what_differs_from_its_border() -> None:
    rng = np.random.default_rng(0)
    ground, thing = rng.normal(size=(2, 64))
    cells = np.broadcast_to(ground[:, None, None], (64, 14, 14)).copy()
    cells[:, 4:9, 6:12] = 3 * thing[:, None, None]
    cells += rng.normal(scale=0.1, size=cells.shape)
    box = heat.spots(heat.object_heat(cells.astype(np.float32)))[0].box
    assert [box.x, box.y, box.width, box.height] == pytest.approx([6 / 14, 4 / 14, 6 / 14, 5 / 14], abs=0.06)

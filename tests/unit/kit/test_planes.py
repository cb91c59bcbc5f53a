"""Planes of bytes: exact to the last bit whatever they hold, and small where something can be saved."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from runstream_server.compression import pack_rows, unpack
from runstream_server.compression.planes import pack
from runstream_server.compression.planes import unpack as unpack_planes

COUNT = 1_500


@st.composite
def tables(draw: st.DrawFn) -> NDArray[np.generic]:
    """Rows of noise, constants, runs and narrow bytes, of any width and length."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows, count, size = draw(st.integers(1, 4)), draw(st.integers(1, 700)), draw(st.sampled_from([1, 2, 4, 8]))
    elements = np.empty((rows, count, size), np.uint8)
    for row in range(rows):
        for place in range(size):
            least = int(random.integers(0, 256))
            beyond = min(256, least + draw(st.sampled_from([1, 2, 3, 4, 5, 16, 17, 256])))
            runs = draw(st.sampled_from([1, 1, 50]))
            elements[row, :, place] = np.repeat(random.integers(least, beyond, count // runs + 1), runs)[:count]
    return elements.reshape(rows, count * size).view(f"<u{size}")


@given(tables())
def test_rows_come_back_bit_for_bit(rows: NDArray[np.generic]) -> None:
    packed = pack(rows)

    assert [unpack_planes(memoryview(each), rows.shape[1], rows.itemsize) for each in packed] == [
        row.tobytes() for row in rows
    ]


@given(tables())
def test_a_row_is_packed_as_if_it_were_alone(rows: NDArray[np.generic]) -> None:
    assert list(pack_rows(rows)) == [pack_rows(rows[place : place + 1])[0] for place in range(len(rows))]


@given(tables())
def test_a_block_of_planes_says_where_it_ends(rows: NDArray[np.generic]) -> None:
    content, rest = unpack(memoryview(pack_rows(rows)[0] + b"what follows"))

    assert (content, bytes(rest)) == (rows[0].tobytes(), b"what follows")


@pytest.mark.parametrize(("beyond", "bits"), [(1, 0), (2, 1), (4, 2), (16, 4), (256, 8)])
def test_noise_takes_as_many_bits_as_it_has(beyond: int, bits: int) -> None:
    noise = np.random.default_rng(1).integers(0, beyond, (1, COUNT)).astype(np.uint8)

    assert len(pack(noise)[0]) == 2 + -(-COUNT * bits // 8)


def test_what_comes_again_and_again_is_compressed() -> None:
    rare = np.where(np.arange(COUNT) % 300, 0, 200).astype(np.uint8)[None]

    assert len(pack(rare)[0]) < 100


def test_an_unknown_form_is_noticed() -> None:
    with pytest.raises(ValueError, match="no plane has the form 3"):
        unpack_planes(memoryview(b"\x00\x03" + b"?" * 100), 100, 1)

"""The Merkle trees of the evidence are those of RFC 6962."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.evidence.merkle import hash_leaf, path_of, root_from_path, root_of

INPUTS = [
    bytes.fromhex(text)
    for text in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
"""The eight entries of the test vectors that Certificate Transparency publishes for RFC 6962."""
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
PATHS = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def leaves(number: int) -> list[bytes]:
    """The hashes of so many of the entries."""
    return [hash_leaf(data) for data in INPUTS[:number]]


def naive_root(entries: list[bytes]) -> bytes:
    """The definition of section 2.1, word by word."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\0" + entries[0]).digest()
    middle = 1
    while middle * 2 < len(entries):
        middle *= 2
    left, right = naive_root(entries[:middle]), naive_root(entries[middle:])
    return sha256(b"\1" + left + right).digest()


def naive_path(place: int, entries: list[bytes]) -> list[bytes]:
    """The definition of section 2.1.1, word by word."""
    if len(entries) == 1:
        return []
    middle = 1
    while middle * 2 < len(entries):
        middle *= 2
    if place < middle:
        return [*naive_path(place, entries[:middle]), naive_root(entries[middle:])]
    return [*naive_path(place - middle, entries[middle:]), naive_root(entries[:middle])]


@pytest.mark.parametrize("size", ROOTS)
def test_the_roots_are_those_of_the_published_vectors(size: int) -> None:
    assert root_of(leaves(size)).hex() == ROOTS[size]


@pytest.mark.parametrize(("place", "size"), PATHS)
def test_the_paths_are_those_of_the_published_vectors(place: int, size: int) -> None:
    assert [value.hex() for value in path_of(leaves(size), place)] == PATHS[place, size]


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=70), st.data())
def test_roots_and_paths_are_those_of_the_definition(
    entries: list[bytes], data: st.DataObject
) -> None:
    """And a path leads from its entry to the root."""
    place = data.draw(st.integers(0, len(entries) - 1))
    hashes = [hash_leaf(entry) for entry in entries]
    path = path_of(hashes, place)
    assert root_of(hashes) == naive_root(entries)
    assert path == naive_path(place, entries)
    assert root_from_path(hashes[place], place, len(entries), path) == naive_root(entries)


@given(st.integers(1, 70), st.integers(0, 69), st.integers(0, 69), st.data())
def test_a_path_leads_to_the_root_from_its_own_place_only(
    size: int, place: int, other: int, data: st.DataObject
) -> None:
    """Another place, another size or another path is an error or another root."""
    place, other = place % size, other % size
    hashes = [hash_leaf(number.to_bytes(2, "big")) for number in range(size)]
    root, path = root_of(hashes), path_of(hashes, place)
    if other != place:
        assert outcome(hashes[place], other, size, path) != root
    for altered in range(len(path)):
        wrong = [
            *path[:altered],
            data.draw(st.binary(min_size=32, max_size=32)),
            *path[altered + 1 :],
        ]
        assert wrong == path or outcome(hashes[place], place, size, wrong) != root
    assert outcome(hashes[place], place, size, [*path, bytes(32)]) is None
    assert not path or outcome(hashes[place], place, size, path[1:]) is None


def outcome(leaf: bytes, place: int, size: int, path: list[bytes]) -> bytes | None:
    """The root, or None where the path has a wrong length."""
    try:
        return root_from_path(leaf, place, size, path)
    except ValueError:
        return None


@pytest.mark.parametrize(("place", "size"), [(0, 0), (1, 1), (-1, 3), (3, 3)])
def test_a_place_outside_of_the_list_is_an_error(place: int, size: int) -> None:
    with pytest.raises(ValueError, match="the place must be below"):
        root_from_path(bytes(32), place, size, [])

"""Merkle trees as in RFC 6962, section 2.1, with SHA-256: one hash stands for a list of entries.

A path of hashes proves that one entry is at its place in the list, without any of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256


def hash_leaf(data: bytes) -> bytes:
    """Return the hash of an entry."""
    return sha256(b"\x00" + data).digest()


def hash_pair(left: bytes, right: bytes) -> bytes:
    """Return the hash of two neighbours in the tree."""
    return sha256(b"\x01" + left + right).digest()


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the hash of a list from the hashes of its entries, in their order."""
    subtrees: list[bytes] = []
    for number, leaf in enumerate(leaves, start=1):
        subtrees.append(leaf)
        for _ in range((number & -number).bit_length() - 1):  # two whole subtrees are complete
            right = subtrees.pop()
            subtrees[-1] = hash_pair(subtrees[-1], right)
    if not subtrees:
        return sha256().digest()
    root = subtrees.pop()
    while subtrees:
        root = hash_pair(subtrees.pop(), root)
    return root


def path_of(leaves: Sequence[bytes], place: int) -> list[bytes]:
    """Return the path of the entry in a place, counted from 0: the hashes beside its way to the root."""
    path = []
    size = len(leaves)
    first = 0
    while size > 1:
        left_size = 1 << (size - 1).bit_length() - 1
        middle = first + left_size
        if place < middle:
            path.append(root_of(leaves[middle : first + size]))
            size = left_size
        else:
            path.append(root_of(leaves[first:middle]))
            first, size = middle, size - left_size
    return path[::-1]


def root_from_path(leaf: bytes, place: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root of a list of `size` entries that has this entry in its place.

    Raises:
        ValueError: no entry in that place of such a list has a path of this length.
    """
    if not 0 <= place < size:
        raise ValueError(f"the place must be below {size}, got {place}")
    remaining = iter(path)
    root, last = leaf, size - 1
    while last:
        if place % 2 or place < last:
            sibling = next(remaining, None)
            if sibling is None:
                raise ValueError("the path is too short")
            root = hash_pair(sibling, root) if place % 2 else hash_pair(root, sibling)
        place, last = place // 2, last // 2
    if next(remaining, None) is not None:
        raise ValueError("the path is too long")
    return root

"""A long row shared by a team of threads: each adds up some sections of it, and all read all sums.

Every member runs the whole kernel, so that all members decide alike. Where it needs a sum over
the items it takes the sections that are its own, posts their sums on a board, meets the others, and reads their
sums. Sections depend on the number of items alone. So do the sums, to the last bit, whatever the size of the team.
"""

from typing import Any, NamedTuple

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels.waiting import fresh, give_way, put
from ksubset.backends._cpu.simd.lanes import VECTOR_BYTES
from ksubset.backends._cpu.simd.memory import load, step, store
from ksubset.backends._cpu.simd.tables import table_at
from ksubset.backends._cpu.simd.vectors import full

SECTIONS = 16
LONG = 1 << 15
"""Rows of fewer items are one section."""

CHUNK = 64
"""Vectors of items added up before their sum is added to that of others: float32 loses digits in sums of many."""

POSTS = 160
"""Vectors that a section may post."""

ALONE = 0, 1, 0
"""The number of a thread without others, how many there are, and no memory that they share."""

MEMBERS = 16
FLAG = 64
"""Bytes from the flag of a member, how often it has met the others, to that of the next."""

PATIENCE = 2000
"""Looks at a flag before the processor is offered to others."""


class Team(NamedTuple):
    """The number of a member, how many there are, and the address of their flags and boards."""

    rank: Any
    size: Any
    address: Any


class Row(NamedTuple):
    """Items and a direction, where they start in their tables, how many there are, and who works on them."""

    x: Any
    at: Any
    v: Any
    v_at: Any
    n: Any
    team: Team


def board_bytes(n: int, boards: int = 1) -> int:
    """Memory of a team for rows of n items; whoever is alone needs one board."""
    return MEMBERS * FLAG + boards * (SECTIONS if n >= LONG else 1) * POSTS * VECTOR_BYTES


@inlined
def team_of(rank, size, shared, own):
    """The team that a kernel was called for, with its own memory if it is alone."""
    return Team(rank, size, shared if size > 1 else own)


@inlined
def alone(x, n, memory):
    """Items in lanes, for one thread."""
    return Row(x, 0, x, 0, n, Team(0, 1, memory))


@inlined
def chunk(like):
    """Items added up in one go."""
    return CHUNK * step(like)


@inlined
def sections(row):
    """How many sections a row has."""
    return SECTIONS if row.n >= LONG else 1


@inlined
def section(row, s, like):
    """The first item of a section, and the first after it: whole chunks, and none is empty."""
    if row.n < LONG:
        return 0, row.n
    chunks = (row.n + chunk(like) - 1) // chunk(like)
    first, stop = chunks * s // SECTIONS, chunks * (s + 1) // SECTIONS
    return first * chunk(like), min(stop * chunk(like), row.n)


@inlined
def board_of(row, like):
    """Where this turn's sums are posted; others may still read the sums of the turn before."""
    turn = fresh(row.team.address + FLAG * row.team.rank) & 1 if row.team.size > 1 else 0
    size = sections(row) * POSTS * VECTOR_BYTES
    return table_at(row.team.address + MEMBERS * FLAG + turn * size, 0, like)


@inlined
def post(board, s, j, x):
    """Write sum ``j`` of a section."""
    store(board, s * POSTS + j, x)


@inlined
def posted(board, s, j, like):
    """Read it."""
    return load(board, s * POSTS + j, like)


@inlined
def clear_posts(board, s, first, stop, like):
    """Make sums ``first`` … ``stop`` − 1 of a section 0."""
    for j in range(first, stop):
        post(board, s, j, full(like, 0))


@inlined
def add_to_posts(board, s, table, first, stop, like):
    """Add vectors of a table to the sums of the same numbers."""
    for j in range(first, stop):
        post(board, s, j, posted(board, s, j, like) + load(table, j, like))


@inlined
def posted_sum(board, row, j, like):
    """Sum ``j`` of all sections."""
    out = posted(board, 0, j, like)
    for s in range(1, sections(row)):
        out = out + posted(board, s, j, like)
    return out


@inlined
def meet(team):
    """Wait until all members have come here."""
    if team.size > 1:
        await_members(team)


@inner
def await_members(team):
    """Raise this member's flag, and look at the flags of the others."""
    turn = fresh(team.address + FLAG * team.rank) + 1
    put(team.address + FLAG * team.rank, turn)
    for r in range(team.size):
        looks = 0
        while fresh(team.address + FLAG * r) < turn:
            looks += 1
            if looks > PATIENCE:
                give_way()

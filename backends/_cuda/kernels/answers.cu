// What a row's moments are written from: the contour, or exchanges where it is still.

__device__ Span<Real> board_of(Team team) {
  return Span<Real>(own_memory<Real>() + threadIdx.x / team.size * BOARD, BOARD);
}

// Both marginals of an item: μ and 1 − μ.
__device__ Two<Real> sides(Nodes<Real> nodes, Item<Real> x) {
  Real change = deviation(nodes, x), most = 1 - x.rare, p = x.likely ? most : x.rare, q = x.likely ? x.rare : most;
  return {min(p * (1 + q * change), (Real)1), min(q * (1 - p * change), (Real)1)};
}
__device__ Two<Real> sides(Exchange known, Item<Real> x) {
  Real rare = exchanged(known, x);
  return x.likely ? Two<Real>{1 - rare, rare} : Two<Real>{rare, 1 - rare};
}

// Where both marginals go, null where they are not asked for.
struct Sides {
  Real *chosen, *unchosen;
};

template <typename Known>
__device__ void write_sides(Team team, Row row, Tilt<Real> tilt, Known known, Sides out) {
  for (int i = team.rank; i < row.n; i += team.size) {
    Two<Real> found = sides(known, item_at(row, i, tilt));
    if (out.chosen) Span<Real>(out.chosen, row.n)[i] = found.a;
    if (out.unchosen) Span<Real>(out.unchosen, row.n)[i] = found.b;
  }
}

// Writes t, and returns Σ log(1 + w).
__device__ Real write_tilted(Team team, Row row, Tilt<Real> tilt, Span<Real> tilted) {
  Two<Real> volume = {0, 0};
  for (int i = team.rank; i < row.n; i += team.size) {
    Item<Real> x = item_at(row, i, tilt);
    tilted[i] = x.t;
    volume = compensated(volume, {log1p(x.odds), (Real)0});
  }
  volume = reduce<Real, compensated>(team, volume);
  return volume.a + volume.b;
}

// Writes the marginals, and returns log P(Σz = k), or, of a still row, that plus Σ log(1 + w).
__device__ Real write_moments(Team team, Row row, Tilt<Real> tilt, Totals<Real> totals, Span<Real> board, Sides out) {
  Real found;
  bool wanted = out.chosen || out.unchosen;
  if (totals.is_still()) {
    Exchange known = exchange(team, row, tilt, board, nullptr);
    found = log1p(known.more);
    if (wanted) write_sides(team, row, tilt, known, out);
  } else {
    Nodes<Real> nodes = place_nodes(team, totals.spread, fabs(totals.gap), board, MOST_NODES);
    found = log(find_integrand(team, row, tilt, totals.ahead, nodes));
    if (wanted) write_sides(team, row, tilt, nodes, out);
  }
  team.meet();
  return found;
}

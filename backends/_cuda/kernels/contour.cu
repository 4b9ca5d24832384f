// The integrand and what follows from it for every item; see ksubset/_engine/factors.py and ksubset/_engine/direct.py.

constexpr int AT_ONCE = sizeof(Real) == 4 ? 8 : 4;  // nodes in the registers of a pass over the items
constexpr int MOST_NODES = sizeof(Real) == 4 ? 16 : 32;
constexpr int BOARD = KINDS * MOST_NODES;  // numbers of shared memory to a team

// The integrand, divided by the sum of its real parts; returns P(Σz = k).
__device__ Real find_integrand(Team team, Row row, Tilt<Real> tilt, Real ahead, Nodes<Real> nodes) {
  find_products<AT_ONCE>(team, row, tilt, nodes);
  Team own = team.within();
  Real whole = 0;
  for (int j = own.rank; j < nodes.size; j += own.size) {
    Two<Real> turn = half_turns(ahead * nodes.angle(j));
    Two<Real> value = product(Two<Real>{turn.b, turn.a}, nodes.complex(RE, j));
    nodes.put(RE, j, value);
    whole += value.a;
  }
  whole = sum(own, whole);
  for (int j = own.rank; j < nodes.size; j += own.size) {
    Two<Real> value = nodes.complex(RE, j);
    nodes.put(RE, j, {value.a / whole, value.b / whole});
  }
  team.meet();
  return whole * 2 / nodes.period;
}

// (P(the others add up to k − 1) − P(… k)) / P(Σz = k) of an item.
__device__ Real deviation(Nodes<Real> nodes, Item<Real> x) {
  Real found = 0;
  for (int j = 0; j < nodes.size; j++) {
    Real top = x.lean * nodes.at(RE, j) * nodes.at(FALL, j) - nodes.at(IM, j) * nodes.at(SINE, j);
    found += top * reciprocal(x.lean * x.lean + 4 * x.spread * nodes.at(FLOOR, j));
  }
  return found;
}

// Along v, the logits' changes: each item's push is pq (v − mean).
struct Direction {
  Span<const Real> v;
  Real mean;
  __device__ Real push(int i, Real spread) const { return pushed(v[i], spread, mean); }
};

// Any centre would do, since J maps constants to 0; that of the pq-weighted mean rounds least.
__device__ Direction centred(Team team, Row row, Tilt<Real> tilt, Span<const Real> v) {
  Two<Real> moments = {0, 0};
  for (int i = team.rank; i < row.n; i += team.size) {
    Real spread = item_at(row, i, tilt).spread;
    moments = sums(moments, {spread, spread > 0 ? spread * v[i] : 0});
  }
  moments = reduce<Real, sums>(team, moments);
  return {v, moments.b / max(moments.a, (Real)1e-37)};
}

// The change of log F at some nodes: Σ u (q − p)/|f|² and Σ u/|f|², times cos φ − 1 and sin φ.
__device__ void sum_changes(Team team, Row row, Tilt<Real> tilt, Direction along, Nodes<Real> nodes, int first) {
  Two<Real> changes[AT_ONCE] = {};
  for (int i = team.rank; i < row.n; i += team.size) {
    Item<Real> x = item_at(row, i, tilt);
    Real push = along.push(i, x.spread);
#pragma unroll
    for (int j = 0; j < AT_ONCE; j++) {
      Real part = push * reciprocal(x.lean * x.lean + 4 * x.spread * nodes.at(FLOOR, first + j));
      changes[j] = sums(changes[j], {part * x.lean, part});
    }
  }
#pragma unroll
  for (int j = 0; j < AT_ONCE; j++) {
    Two<Real> all = reduce<Real, sums>(team, changes[j]);
    if (team.within().rank > 0) continue;
    nodes.put(DRE, first + j, {all.a * nodes.at(FALL, first + j), all.b * nodes.at(SINE, first + j)});
  }
}

// The change of the integrand, whose real parts go on adding up to 1.
__device__ void find_change(Team team, Row row, Tilt<Real> tilt, Direction along, Nodes<Real> nodes) {
  for (int first = 0; first < nodes.size; first += AT_ONCE) sum_changes(team, row, tilt, along, nodes, first);
  team.meet();
  Team own = team.within();
  Real mean = 0;
  for (int j = own.rank; j < nodes.size; j += own.size) {
    Two<Real> value = product(nodes.complex(RE, j), nodes.complex(DRE, j));
    nodes.put(DRE, j, value);
    mean += value.a;
  }
  mean = sum(own, mean);
  for (int j = own.rank; j < nodes.size; j += own.size) {
    Two<Real> value = nodes.complex(RE, j), change = nodes.complex(DRE, j);
    nodes.put(DRE, j, {change.a - mean * value.a, change.b - mean * value.b});
  }
  team.meet();
}

// J · v of an item that is pushed by u: u (1 + (q − p) Δ) + pq dΔ, Δ the deviation.
__device__ Real product_of(Nodes<Real> nodes, Item<Real> x, Real u) {
  Real value = 0, change = 0;
  for (int j = 0; j < nodes.size; j++) {
    Real inverse = reciprocal(x.lean * x.lean + 4 * x.spread * nodes.at(FLOOR, j));
    Real a = x.lean * nodes.at(FALL, j) * inverse, b = nodes.at(SINE, j) * inverse;
    Two<Real> own = product(nodes.complex(RE, j), Two<Real>{a, b});
    value += own.a;
    change += a * (nodes.at(DRE, j) - u * own.a) - b * (nodes.at(DIM, j) - u * own.b);
  }
  return u + u * x.lean * value + x.spread * change;
}

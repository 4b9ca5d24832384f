// Products over the items at every node of the contour; see ksubset/_engine/factors.py.
//
// An item has the factor f = 1 + m (e^±iφ − 1) relative to its likely side, m = min(p, q), and |f|² is the floor
// cos²(φ/2) of 4pq above (q − p)². F is their product; in the integrand F e^i(likely − k)φ it stands for the row.

template <typename N>
constexpr N EVEN = 0.125;  // pq from which a factor is multiplied as it is, not less 1: it may leave little of F

// F at some nodes from `first` on, to (RE, IM).
template <int SOME, typename N>
__device__ void multiply_factors(Team team, Row row, Tilt<N> tilt, Nodes<N> nodes, int first) {
  Two<N> small[SOME] = {}, even[SOME];
#pragma unroll
  for (int j = 0; j < SOME; j++) even[j] = {1, 0};
  for (int i = team.rank; i < row.n; i += team.size) {
    Item<N> x = item_at(row, i, tilt);
    N rise = x.likely ? -x.rare : x.rare, least = x.likely ? -x.lean : x.lean;
#pragma unroll
    for (int j = 0; j < SOME; j++) {
      N sine = rise * nodes.at(SINE, first + j);
      if (x.spread > EVEN<N>) even[j] = product(even[j], Two<N>{least + 2 * x.rare * nodes.at(FLOOR, first + j), sine});
      else small[j] = product_less_one(small[j], Two<N>{x.rare * nodes.at(FALL, first + j), sine});
    }
  }
#pragma unroll
  for (int j = 0; j < SOME; j++) {
    Two<N> less = reduce<N, product_less_one>(team, small[j]), rest = reduce<N, product>(team, even[j]);
    // By one thread: contraction to fused operations may make others' products differ in the last bit.
    if (team.within().rank == 0) nodes.put(RE, first + j, product(Two<N>{1 + less.a, less.b}, rest));
  }
}

template <int SOME, typename N>
__device__ void find_products(Team team, Row row, Tilt<N> tilt, Nodes<N> nodes) {
  for (int first = 0; first < nodes.size; first += SOME) multiply_factors<SOME>(team, row, tilt, nodes, first);
  team.meet();
}

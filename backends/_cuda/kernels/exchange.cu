// Rows where hardly anything is random, by how many items a subset exchanges against the likeliest one; the formulas
// are in ksubset/_engine/exchange.py.

constexpr int EXCHANGED = sizeof(Real) == 4 ? 6 : 10;  // items that are exchanged at most
constexpr int SPAN = EXCHANGED + 1;

// Series on the board, of the unlikely items and, after each, of the likely: Σ w^j and Σ w^(j−1) dw; A and dA; their
// coefficients in powers of −w with an item of odds w left out, and the change of these.
enum Series { POWERS = 0, SLOPES = 2, SERIES = 4, MOVED = 6, ONE_OUT = 8, OTHERS = 10, SERIES_KINDS = 12 };

static_assert(SERIES_KINDS * SPAN <= BOARD, "the board holds all series");

struct Exchange {
  Span<Real> board;
  Real more, change;  // Σ A_s B_s − 1 over s ≥ 0, and its change over Σ A_s B_s

  __device__ decltype(auto) at(int kind, int side, int j) const { return board[(kind + side) * SPAN + j]; }
};

// Σ x w^j of either side's items, x their odds or, along v, the change ±dw of these.
__device__ void sum_powers(Team team, Row row, Tilt<Real> tilt, Exchange out, Series kind, const Direction* along) {
  Two<Real> found[EXCHANGED] = {};
  for (int i = team.rank; i < row.n; i += team.size) {
    Item<Real> x = item_at(row, i, tilt);
    Real term = x.odds;
    if (along) term = x.likely ? -along->push(i, x.odds) : along->push(i, x.odds);
#pragma unroll
    for (int j = 0; j < EXCHANGED; j++, term *= x.odds)
      found[j] = sums(found[j], {x.likely ? 0 : term, x.likely ? term : 0});
  }
#pragma unroll
  for (int j = 0; j < EXCHANGED; j++) {
    Two<Real> all = reduce<Real, sums>(team, found[j]);
    if (team.within().rank == 0) out.at(kind, 0, j) = all.a, out.at(kind, 1, j) = all.b;
  }
  team.meet();
}

// A_0 … A_S by s A_s = Σ_j (−1)^(j−1) A_{s−j} Σ w^j, and dA_s = Σ_j (−1)^(j−1) A_{s−j} Σ w^(j−1) dw.
__device__ void find_series(Team team, Exchange out, bool moves) {
  Team own = team.within();
  for (int side = own.rank; side < 2; side += own.size) {
    out.at(SERIES, side, 0) = 1;
    out.at(MOVED, side, 0) = 0;
    for (int s = 1; s < SPAN; s++) {
      Real x = 0, dx = 0, sign = 1;
      for (int j = 0; j < s; j++, sign = -sign) {
        Real before = sign * out.at(SERIES, side, s - 1 - j);
        x += before * out.at(POWERS, side, j);
        if (moves) dx += before * out.at(SLOPES, side, j);
      }
      out.at(SERIES, side, s) = x / s;
      out.at(MOVED, side, s) = dx;
    }
  }
  team.meet();
}

__device__ void leave_one_out(Team team, Exchange& out) {
  out.more = 0, out.change = 0;
  for (int s = 1; s < SPAN; s++) {
    Real a = out.at(SERIES, 0, s), b = out.at(SERIES, 1, s);
    out.more += a * b;
    out.change += out.at(MOVED, 0, s) * b + a * out.at(MOVED, 1, s);
  }
  out.change /= 1 + out.more;
  Team own = team.within();
  for (int place = own.rank; place < 2 * EXCHANGED; place += own.size) {
    int side = place / EXCHANGED, j = place % EXCHANGED;
    Real x = 0, dx = 0;
    for (int s = j + 1; s < SPAN; s++) {
      Real b = out.at(SERIES, 1 - side, s), a = out.at(SERIES, side, s - 1 - j);
      x += b * a;
      dx += out.at(MOVED, 1 - side, s) * a + b * out.at(MOVED, side, s - 1 - j);
    }
    out.at(ONE_OUT, side, j) = x;
    out.at(OTHERS, side, j) = dx - out.change * x;
  }
  team.meet();
}

__device__ Exchange exchange(Team team, Row row, Tilt<Real> tilt, Span<Real> board, const Direction* along) {
  Exchange out = {board, 0, 0};
  sum_powers(team, row, tilt, out, POWERS, nullptr);
  if (along) sum_powers(team, row, tilt, out, SLOPES, along);
  find_series(team, out, along != nullptr);
  leave_one_out(team, out);
  return out;
}

// The marginal of an item's less likely side.
__device__ Real exchanged(Exchange known, Item<Real> x) {
  Real found = 0;
  for (int j = EXCHANGED - 1; j >= 0; j--) found = known.at(ONE_OUT, x.likely, j) - x.odds * found;
  return x.odds * found / (1 + known.more);
}

// J · v of an item whose odds are pushed by u.
__device__ Real product_of(Exchange known, Item<Real> x, Real u) {
  Real own = 0, others = 0;
  for (int j = EXCHANGED - 1; j >= 0; j--) {
    own = (j + 1) * known.at(ONE_OUT, x.likely, j) - x.odds * own;
    others = known.at(OTHERS, x.likely, j) - x.odds * others;
  }
  others *= x.odds;
  return (u * own + (x.likely ? -others : others)) / (1 + known.more);
}

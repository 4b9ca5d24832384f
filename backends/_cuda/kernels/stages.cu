// Subsets drawn exactly, in O(n): independent items, accepted with the right probability.
//
// The items are divided in two, A before B, B with a small part of the variance. A is drawn as independent Bernoulli
// variables; the count that is left for B is accepted with its probability under B's law, found by the contour, over a
// bound of that. Then B is drawn the same way, under a tilt of its own. At the end few items are uncertain, and are
// drawn until their sum is right. See ksubset/backends/_cpu/kernels/sampling_stages.py.

constexpr Real LAST = 16;  // variance up to which items are drawn until their sum is right, one in √(2πV) times
constexpr int FEW = 128;  // so are at most this many items
constexpr Real SHARE = 0.125;  // B's share of the variance
constexpr int STRETCH = 128, STRETCHES = 64;  // items by which B grows, a multiple of GROUP, or a part of all
constexpr int ATTEMPTS = 100000;  // draws after which a row is given up; that would happen once in e^1000 times

constexpr int REST_NODES = 64;
constexpr int REST_BOARD = KINDS * REST_NODES;  // doubles of shared memory to a team, for more than FEW items

// The law of the sum of B's items, in float64.
struct Rest {
  Nodes<double> nodes;
  double likely, mean, reach, bound;
};

__device__ Rest law_of_rest(Team team, Row row, Tilt<Real> tilt) {
  Span<double> board(own_memory<double>() + threadIdx.x / team.size * REST_BOARD, REST_BOARD);
  Tilt<double> wide = {tilt.start, tilt.shift};
  Totals<double> totals = totals_of(team, row, wide, 0.0);
  double reach = sqrt(2 * LOG_ERROR_DOUBLE * totals.spread) + LOG_ERROR_DOUBLE / 3, bound = 0;
  Nodes<double> nodes = place_nodes(team, totals.spread, reach + 1, board, REST_NODES);
  find_products<2>(team, row, wide, nodes);
  Team own = team.within();
  for (int j = own.rank; j < nodes.size; j += own.size) {
    Two<double> value = nodes.complex(RE, j);
    bound += sqrt(value.a * value.a + value.b * value.b);
  }
  return {nodes, totals.ahead, totals.gap, reach, sum(own, bound)};
}

// The probability that B has `count` chosen items, in the unit of its bound; 0 where it is below e^−38.
__device__ double chance(Team team, Rest rest, int count) {
  double found = 0, away = count - rest.likely;
  Team own = team.within();
  for (int j = own.rank; j < rest.nodes.size; j += own.size) {
    Two<double> turn = half_turns(away * rest.nodes.angle(j)), value = rest.nodes.complex(RE, j);
    found += value.a * turn.b + value.b * turn.a;
  }
  found = sum(own, found);
  return fabs(count - rest.mean) > rest.reach ? 0 : found;
}

// Where B starts.
__device__ int start_of_rest(Draw draw, int begin, Real variance) {
  int n = draw.row.n, left = n - begin, stretch = max(STRETCH, left / STRETCHES / STRETCH * STRETCH);
  int first = begin + (left - 1) / stretch * stretch;
  for (Real found = 0; first > begin + stretch; first -= stretch) {
    Real spread = 0;
    int end = min(first + stretch, n);
    for (int i = first + draw.team.rank; i < end; i += draw.team.size) spread += item_at(draw.row, i, draw.tilt).spread;
    found += sum(draw.team, spread);
    if (found >= variance) break;
  }
  return first;
}

__device__ bool draw_until(Draw draw, int begin, int count, Stream& stream) {
  for (unsigned end = stream.attempt + ATTEMPTS; stream.attempt < end; stream.attempt++) {
    if (draw_items(draw, begin, draw.row.n, stream, false) != count) continue;
    draw_items(draw, begin, draw.row.n, stream, true);
    return true;
  }
  return false;
}

// Draws the items before B; returns how many are chosen, −1 if they are given up.
__device__ int draw_until_accepted(Draw draw, int begin, int first, int count, Rest rest, Stream& stream) {
  for (unsigned end = stream.attempt + ATTEMPTS; stream.attempt < end; stream.attempt++) {
    int chosen = draw_items(draw, begin, first, stream, false), left = count - chosen;
    double probability = chance(draw.team, rest, left);
    bool possible = left >= 0 && left <= draw.row.n - first;
    if (!possible || !(stream.uniform(WHOLE) * rest.bound < probability)) continue;
    draw_items(draw, begin, first, stream, true);
    stream.attempt++;
    return chosen;
  }
  return -1;
}

// A subset to draw.out; false if it is given up.
__device__ bool draw_row(Draw draw, int count, Real variance, Stream stream) {
  int begin = 0, n = draw.row.n;
  put_thresholds(draw, begin, n);
  while (variance > LAST && n - begin > FEW) {
    int first = start_of_rest(draw, begin, variance * SHARE);
    Rest rest = law_of_rest(draw.team, draw.row.part(first), draw.tilt);
    int chosen = draw_until_accepted(draw, begin, first, count, rest, stream);
    Totals<Real> totals;
    if (chosen < 0 || !find_tilt(draw.team, draw.row.part(first), count - chosen, draw.tilt, totals)) return false;
    begin = first, count -= chosen, variance = totals.spread;
    put_thresholds(draw, begin, n);
  }
  return draw_until(draw, begin, count, stream);
}

// A count by the probabilities of `least`, `least` + 1, …; −1 where these are NaN.
__device__ long long draw_count(Span<const Real> chances, int least, Stream stream) {
  double whole = 0, passed = 0, target = stream.uniform(COUNT);
  for (int c = 0; c < chances.size; c++) whole += chances[c];
  if (isnan(whole)) return -1;
  int found = 0;
  for (; found < chances.size - 1; found++)
    if ((passed += chances[found]) > target * whole) break;
  return least + found;
}

// The draws that a launch makes: subsets, (seeds, draws, rows of a seed, n), from 64 bits to a seed, and λ, (2, rows),
// NaN where a row is infeasible, or null. `shares` teams divide the draws from a row. With `chances`, (rows, counts),
// each draw has a count of its own, from `least` on; without, that is null, and k is the count.
struct Drawing {
  const unsigned long long* seeds;
  int of_seed, draws, shares;
  const Real* chances;
  int least, counts;
  Real *tilts, *out;
};

#define DRAWING                                                                                                      \
  const unsigned long long *seeds, int of_seed, int draws, int shares, const Real *chances, int least, int counts, \
      Real *tilts, Real *out

__device__ void draw_share(Team team, Batch batch, Drawing drawing, int i, int share, Tilt<Real> tilt,
                           Totals<Real> totals, bool feasible) {
  Row row = row_at(batch, i, false);
  long long count = count_at(batch, i), draws = drawing.draws;
  int of_seed = drawing.of_seed;
  unsigned long long key = row_of(drawing.seeds, i / of_seed, 1)[0];
  Stream stream = {{(unsigned)key, (unsigned)(key >> 32)}, (unsigned)(i % of_seed), 0, 0};
  for (int draw = draws * share / drawing.shares; draw < draws * (share + 1) / drawing.shares; draw++) {
    Span<Real> subset = row_of(drawing.out, (i / of_seed * draws + draw) * of_seed + i % of_seed, batch.n);
    stream.draw = draw;
    if (drawing.chances) {
      count = draw_count(row_of(drawing.chances, i, drawing.counts), drawing.least, stream);
      feasible = is_feasible(batch, count) && find_tilt(team, row, count, tilt, totals);
    }
    if (!feasible || !draw_row({team, row, tilt, subset}, count, totals.spread, stream))
      fill(team, subset, not_a_number());
  }
}

// All draws; `also(team, i, tilt, totals, feasible)` is called once for each row before it is drawn from.
template <typename Also>
__device__ void draw_rows(Batch batch, Team team, int size, Drawing drawing, Also also) {
  long long work = (long long)batch.rows * drawing.shares;
  for (long long place = number_of_team(size); place < work; place += teams_of(size)) {
    int i = place / drawing.shares, share = place % drawing.shares;
    long long count = count_at(batch, i);
    Tilt<Real> tilt = {not_a_number(), not_a_number()};
    Totals<Real> totals;
    bool feasible = !drawing.chances && is_feasible(batch, count) &&
                    find_tilt(team, row_at(batch, i, false), count, tilt, totals);
    if (share == 0) {
      keep_tilt(team, batch, i, tilt, drawing.tilts);
      also(team, i, tilt, totals, feasible);
    }
    draw_share(team, batch, drawing, i, share, tilt, totals, feasible);
  }
}

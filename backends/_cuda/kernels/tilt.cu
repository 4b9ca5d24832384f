// The tilt λ with Σσ(θ + λ) within a quarter of a standard deviation of k.
//
// Logits that span no more than NARROW are searched between the ends of their range, others from the middle of the gap
// between the k-th largest and the next.

constexpr int STEPS = 60;
constexpr Real TOLERANCE = 1.0 / 16;  // a quarter of a standard deviation, squared
constexpr Real SLACK = 1e-6;  // what (Σp − k)² may be whatever the standard deviation
constexpr Real NARROW = 40;
constexpr Real FORCED = 200;  // distance put between the order statistics where one is infinite
constexpr Real PROBIT = 0.39;  // π/8: the mean of σ(x), x normal, is about σ(mean/√(1 + variance · π/8)) (MacKay 1992)
constexpr Real NEAR = 0.25;  // order statistics as close as this need not be told apart
constexpr Real TINY = 1e-30;

// Integers in the order of the numbers, and back.
__device__ unsigned key_of(float x) {
  unsigned bits = __float_as_uint(x);
  return bits >> 31 ? ~bits : bits | 1u << 31;
}
__device__ unsigned long long key_of(double x) {
  unsigned long long bits = __double_as_longlong(x);
  return bits >> 63 ? ~bits : bits | 1ull << 63;
}
__device__ float with_key(unsigned key) { return __uint_as_float(key >> 31 ? key & ~(1u << 31) : ~key); }
__device__ double with_key(unsigned long long key) {
  return __longlong_as_double(key >> 63 ? key & ~(1ull << 63) : ~key);
}
typedef decltype(key_of(Real())) Key;

// How many items are at least `level`, which is above −∞.
__device__ Real reaching(Team team, Row row, Real level) {
  Real count = 0;
  for (int i = team.rank; i < row.n; i += team.size) count += row[i] >= level;
  return sum(team, count);
}

__device__ Real next_below(Team team, Row row, Real level) {
  Two<Real> found = {0, -infinity()};
  for (int i = team.rank; i < row.n; i += team.size)
    if (row[i] < level) found.b = max(found.b, row[i]);
  return reduce<Real, extremes>(team, found).b;
}

// About θ_(k) and θ_(k+1), by halving the set of floating-point numbers. NaN where a row is infeasible.
__device__ Two<Real> order_statistics(Team team, Row row, Real k) {
  Real low = -infinity(), high = infinity();
  for (int bit = 0; bit < 8 * (int)sizeof(Real) && high - low > NEAR; bit++) {
    Real middle = with_key(key_of(low) + (key_of(high) - key_of(low)) / 2);
    (reaching(team, row, middle) >= k ? low : high) = middle;
  }
  Real upper = reaching(team, row, infinity()) >= k ? infinity() : low;
  Real lower = reaching(team, row, upper) > k ? upper : next_below(team, row, upper);
  if (upper == -infinity() || lower == infinity()) return {not_a_number(), not_a_number()};
  bool all_chosen = upper == infinity(), none_left = lower == -infinity();
  if (all_chosen) upper = none_left ? 0 : lower + FORCED;
  if (none_left) lower = all_chosen ? 0 : upper - FORCED;
  return {upper, lower};
}

struct Bracket {
  Real low, high;
};

// Newton's method on logit(Σp/n), bisecting where it leaves the bracket.
__device__ Totals<Real> settle(Team team, Row row, Real k, Bracket bracket, Tilt<Real>& tilt) {
  for (int step = 1;; step++) {
    Totals<Real> found = totals_of(team, row, tilt, k);
    if (step == STEPS || found.gap * found.gap <= found.spread * TOLERANCE + SLACK) return found;
    (found.gap < 0 ? bracket.low : bracket.high) = tilt.shift;
    Real mean = max(k + found.gap, TINY), rest = max(row.n - k - found.gap, TINY), n = row.n;
    Real excess = log(mean / rest * ((n - k + TINY) / (k + TINY)));
    Real guess = tilt.shift - excess * (mean * rest / n) / max(found.spread, TINY);
    tilt.shift = guess > bracket.low && guess < bracket.high ? guess : (bracket.low + bracket.high) / 2;
  }
}

// From the range, the mean and the variance of logits that span little.
__device__ Bracket narrow_start(Row row, Real k, Two<Real> ends, Real mean, Real variance, Tilt<Real>& tilt) {
  Real reach = (ends.b - ends.a) / 2, level = log(k / (row.n - k));
  tilt.start = -(ends.b / 2 + ends.a / 2);
  Bracket bracket = {level - reach - 1, level + reach + 1};
  tilt.shift = min(max(level * sqrt(1 + variance * PROBIT) - (mean + tilt.start), bracket.low), bracket.high);
  return bracket;
}

// To `tilts`, (2, rows), start and shift, unless that is null.
__device__ void keep_tilt(Team team, Batch batch, int row, Tilt<Real> tilt, Real* tilts) {
  if (!tilts || team.rank > 0) return;
  row_of(tilts, 0, batch.rows)[row] = tilt.start;
  row_of(tilts, 1, batch.rows)[row] = tilt.shift;
}

// False where a row is infeasible or holds a NaN; all threads of the team agree.
__device__ __noinline__ bool find_tilt(Team team, Row row, int count, Tilt<Real>& tilt, Totals<Real>& totals) {
  Two<Real> ends = {infinity(), -infinity()}, away = {0, 0};
  Real k = count, origin = row[0], wrong = 0;
  for (int i = team.rank; i < row.n; i += team.size) {
    Real theta = row[i], x = theta - origin;
    ends = extremes(ends, {theta, theta});
    away = sums(away, {x, x * x});
    wrong += isnan(theta);
  }
  if (sum(team, wrong) > 0) return false;
  ends = reduce<Real, extremes>(team, ends), away = reduce<Real, sums>(team, away);
  Bracket bracket;
  if ((ends.b - ends.a) < NARROW && count > 0 && count < row.n) {
    Real mean = away.a / row.n;
    bracket = narrow_start(row, k, ends, origin + mean, away.b / row.n - mean * mean, tilt);
  } else {
    Two<Real> gap = order_statistics(team, row, k);
    if (isnan(gap.a)) return false;
    tilt = {-(gap.a / 2 + gap.b / 2), 0};
    bracket = {-log(2 * (row.n - k + 1)), log(2 * (k + 1))};
  }
  totals = settle(team, row, k, bracket, tilt);
  return true;
}

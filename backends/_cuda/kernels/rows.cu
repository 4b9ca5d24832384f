// Rows of logits, and their items as independent Bernoulli variables under a tilt λ.

struct Batch {
  const Real* logits;
  const int* k;  // null where all rows have the same
  int logits_stride, k_words, k_everywhere;  // k in one word of 32 bits, or in two
  int width;  // what min(k, n − k) may not exceed
  int rows, n;
};

#define BATCH                                                                                                \
  const Real *logits, const int *k, int logits_stride, int k_words, int k_everywhere, int width, int rows, int n

// Logits, with the other sign where the items that a subset leaves out stand for it.
struct Row {
  Span<const Real> logits;
  int n;
  bool flipped;

  __device__ Real operator[](int i) const {
    Real theta = logits[i];
    return flipped ? -theta : theta;
  }
  __device__ Row part(int first) const { return {logits.part(first, n - first), n - first, flipped}; }
};

__device__ Row row_at(Batch batch, int row, bool flipped) {
  return {Span<const Real>(batch.logits + (long long)row * batch.logits_stride, batch.n), batch.n, flipped};
}

__device__ long long count_at(Batch batch, int row) {
  if (!batch.k) return batch.k_everywhere;
  Span<const int> words = row_of(batch.k, row, batch.k_words);
  if (batch.k_words == 1) return words[0];
  return (long long)words[1] << 32 | (unsigned)words[0];
}

__device__ bool is_feasible(Batch batch, long long k) {
  return k >= 0 && k <= batch.n && min(k, batch.n - k) <= batch.width;
}

__device__ void fill(Team team, Span<Real> out, Real value) {
  for (int i = team.rank; i < out.size; i += team.size) out[i] = value;
}

// λ = start + shift, never added up: the sum would lose the shift among huge logits.
template <typename N>
struct Tilt {
  N start, shift;
};

// t = θ + λ; whether the item is likely, its odds e^−|t|, min(p, q), pq and q − p.
template <typename N>
struct Item {
  N t;
  bool likely;
  N odds, rare, spread, lean;
};

template <typename N>
__device__ Item<N> item_at(Row row, int i, Tilt<N> tilt) {
  N t = ((N)row[i] + tilt.start) + tilt.shift;
  bool likely = t > 0;
  N odds = exp(likely ? -t : t), most = reciprocal(1 + odds), rare = odds * most, lean = (1 - odds) * most;
  return {t, likely, odds, rare, rare * most, likely ? -lean : lean};
}

// `spread` · (v − mean), 0 for a certain item whatever v; v − mean may overflow.
__device__ Real pushed(Real v, Real spread, Real mean) {
  if (!(spread > 0)) return 0;
  return 2 * spread * (v / 2 - mean / 2);
}

// Σpq, the number of likely items less k, and Σp − k.
template <typename N>
struct Totals {
  N spread, ahead, gap;
  // Whether hardly anything is random, so that subsets exchange few items with the likeliest.
  __device__ bool is_still() const { return ahead == 0 && spread < 1; }
};

template <typename N>
__device__ Totals<N> totals_of(Team team, Row row, Tilt<N> tilt, N k) {
  Two<N> counts = {0, 0};
  N spread = 0;
  for (int i = team.rank; i < row.n; i += team.size) {
    Item<N> x = item_at(row, i, tilt);
    spread += x.spread;
    counts = sums(counts, {(N)x.likely, x.likely ? -x.rare : x.rare});
  }
  counts = reduce<N, sums>(team, counts);
  return {sum(team, spread), counts.a - k, (counts.a - k) + counts.b};
}

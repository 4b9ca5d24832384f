// Exact inference for k-subset distributions: one thread block to a row of logits, one launch to a call.
//
// A row is tilted so that its items, taken as independent Bernoulli variables with probabilities p = σ(θ + λ), add up
// to about k; then nothing below underflows and no logarithm is needed. A binary tree combines the items. A node holds
// a polynomial whose coefficient c is the probability that c of its items are chosen; a leaf is (q, p), q = 1 − p.
//
//   inside   going up, a parent is the product of its two children. At the top, with the root's children L and R,
//            P(Σz = k) = Σ_i L[i] R[k − i].
//   outside  going down, coefficient a of a node's outside polynomial is P(all other items add up to k − a) / P(Σz = k):
//            the correlation of the parent's outside with the sibling's inside. At a leaf, μ = p·O[1], 1 − μ = q·O[0].
//   J·v      the same two passes on dual numbers, whose slopes are derivatives along v.
//   sample   going down, a node's count is divided between its children with probabilities ∝ L[i] R[count − i]. Neither
//            child ever gets more than it has items, whatever rounding does: every draw has exactly k ones.
//
// Level 0 holds the leaves. The first half of the nodes of a level is paired with the second; an odd last node rises
// alone. Every node of a level has as many coefficients as the level's largest count needs, and a row that chooses more
// than half of its items is replaced by its complement, so that no polynomial has more than n/2 + 1.
//
// The tree is in shared memory, or, with KSUBSET_SLAB, in global memory that each block reuses from row to row. The
// outside polynomials overwrite levels of the inside pass that are no longer needed, alternately at either end of the
// free space. A row that is infeasible or holds a NaN gives NaN.
//
// Compiled with -DKSUBSET_REAL=float or double and -DKSUBSET_SLAB=0 or 1. An empty array is passed as a null pointer.
// blockDim.x is a multiple of 32, at most MOST_THREADS.

typedef KSUBSET_REAL Real;

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffff;
constexpr int MOST_THREADS = 512;
constexpr int SCRATCH = 2 * MOST_THREADS / WARP;  // numbers of the dynamic shared memory set aside for reductions
constexpr int TILE = 3;  // coefficients to a thread; odd, so that neighbouring threads read different banks
constexpr int COOPERATE = 16;  // coefficients from which a whole warp divides a node's count
constexpr int NEWTON_STEPS = 12;
constexpr Real FORCED = 200;  // distance put between θ_(k) and θ_(k+1) where one is infinite
constexpr Real FAR = 50;  // where the search for λ stops telling logits apart

extern __shared__ double shared_memory[];

#ifndef KSUBSET_CHECKED
// An array and its length, which only tests check.
template <typename T>
struct Span {
  T* data;
  int size;
  __device__ Span(T* data, int size) : data(data), size(size) {}
  __device__ T& operator[](int i) const { return data[i]; }
  __device__ Span part(int start, int length) const { return Span(data + start, length); }
};
#endif

// ---------------------------------------------------------------------------------------------------- numbers

struct Pair {
  Real first, second;
};

// A number and its derivative.
struct __align__(2 * sizeof(Real)) Dual {
  Real value, slope;
};

__device__ Dual operator*(Dual x, Dual y) { return {x.value * y.value, x.value * y.slope + x.slope * y.value}; }
__device__ Dual operator/(Dual x, Dual y) {
  Real ratio = x.value / y.value;
  return {ratio, (x.slope - ratio * y.slope) / y.value};
}
__device__ void operator+=(Dual& x, Dual y) { x.value += y.value, x.slope += y.slope; }

__device__ Real value(Real x) { return x; }
__device__ Real value(Dual x) { return x.value; }
__device__ Real slope(Real x) { return 0; }
__device__ Real slope(Dual x) { return x.slope; }
template <typename Element>
__device__ Element make(Real value, Real slope = 0);
template <>
__device__ Real make<Real>(Real value, Real slope) { return value; }
template <>
__device__ Dual make<Dual>(Real value, Real slope) { return {value, slope}; }

__device__ Real infinity() { return -log((Real)0); }

// Integers in the order of the numbers.
__device__ unsigned key_of(float x) {
  unsigned bits = __float_as_uint(x);
  return bits >> 31 ? ~bits : bits | 1u << 31;
}
__device__ unsigned long long key_of(double x) {
  unsigned long long bits = __double_as_longlong(x);
  return bits >> 63 ? ~bits : bits | 1ull << 63;
}
typedef decltype(key_of(Real())) Key;

// ---------------------------------------------------------------------------------------------------- reductions

__device__ Pair sums(Pair x, Pair y) { return {x.first + y.first, x.second + y.second}; }
__device__ Pair extremes(Pair x, Pair y) { return {min(x.first, y.first), max(x.second, y.second)}; }
// A sum and what rounding took from it (Ogita, Rump & Oishi, "Accurate sum and dot product", 2005).
__device__ Pair compensated(Pair x, Pair y) {
  Real total = x.first + y.first, shadow = total - x.first;
  return {total, x.second + y.second + ((x.first - (total - shadow)) + (y.first - shadow))};
}

// Combine the pairs of all threads; every thread gets the same result.
template <Pair combine(Pair, Pair)>
__device__ Pair reduce(Pair x, Span<Real> scratch) {
  for (int distance = WARP / 2; distance > 0; distance /= 2) {
    Pair other = {__shfl_xor_sync(ALL_LANES, x.first, distance), __shfl_xor_sync(ALL_LANES, x.second, distance)};
    x = combine(x, other);
  }
  __syncthreads();
  if (threadIdx.x % WARP == 0) {
    scratch[threadIdx.x / WARP * 2] = x.first;
    scratch[threadIdx.x / WARP * 2 + 1] = x.second;
  }
  __syncthreads();
  x = {scratch[0], scratch[1]};
  for (int warp = 1; warp < (int)blockDim.x / WARP; warp++) {
    Pair other = {scratch[2 * warp], scratch[2 * warp + 1]};
    x = combine(x, other);
  }
  return x;
}

// ---------------------------------------------------------------------------------------------------- rows

struct Batch {
  const Real* logits;
  const long long* k;  // null where all rows have the same
  int logits_stride, k_stride, k_everywhere;
  int width;  // what min(k, n − k) may not exceed
  int rows, n;
};

// A row that chooses at most half of its items.
struct Row {
  int n, count;
  bool flipped, feasible;
};

__device__ Row open(Batch batch, int row) {
  long long k = batch.k_everywhere;
  if (batch.k) k = Span<const long long>(batch.k + (long long)row * batch.k_stride, 1)[0];
  bool flipped = 2 * k > batch.n;
  long long count = flipped ? batch.n - k : k;
  return {batch.n, (int)count, flipped, count >= 0 && count <= batch.width};
}

__device__ Span<const Real> logits_of(Batch batch, int row) {
  return Span<const Real>(batch.logits + (long long)row * batch.logits_stride, batch.n);
}

template <typename T>
__device__ Span<T> row_of(T* array, long long row, int n) {
  return Span<T>(array + row * n, n);
}

__device__ void fill(Span<Real> out, Real value) {
  for (int i = threadIdx.x; i < out.size; i += blockDim.x) out[i] = value;
}

// ---------------------------------------------------------------------------------------------------- the tree

struct Level {
  int depth, nodes, size, offset;
  __device__ int length() const { return nodes * size; }
  __device__ int pairs() const { return nodes / 2; }
};

template <typename Element>
struct Tree {
  Span<Element> memory;
  int n, items, limit;

  __device__ Tree(Span<Element> memory, Row row)
      : memory(memory), n(row.n), items(max(row.n, 2)), limit(max(row.count, 1) + 1) {}

  __device__ Level level(int depth, int offset) const {
    return {depth, ((items - 1) >> depth) + 1, min((1 << depth) + 1, limit), offset};
  }
  __device__ Level leaves() const { return level(0, 0); }
  __device__ Level above(Level below) const { return level(below.depth + 1, below.offset + below.length()); }
  __device__ Level below(Level above) const {
    Level found = level(above.depth - 1, 0);
    found.offset = above.offset - found.length();
    return found;
  }
  __device__ Span<Element> node(Level level, int i) const {
    return memory.part(level.offset + i * level.size, level.size);
  }
  // A node without the coefficients above its number of items: 1 << depth, or what is left for the last of a level.
  __device__ Span<Element> possible(Level level, int i) const {
    return node(level, i).part(0, min(level.size, n - (i << level.depth) + 1));
  }
};

// ---------------------------------------------------------------------------------------------------- the tilt λ

struct Tilt {
  Real start, shift;  // λ = start + shift, never added up: the sum would lose the shift among huge logits
};

// Copy the row, negated if need be, to where its unchosen leaves will be.
template <typename Element>
__device__ bool stage(Tree<Element> tree, Row row, Span<const Real> logits) {
  bool bad = false;
  for (int i = threadIdx.x; i < row.n; i += blockDim.x) {
    Real theta = row.flipped ? -logits[i] : logits[i];
    bad = bad || isnan(theta);
    tree.memory[2 * i] = make<Element>(theta);
  }
  return !__syncthreads_or(bad);
}

template <typename Element>
__device__ int count_from(Tree<Element> tree, int n, Key bound) {
  int total = 0;
  for (int first = 0; first < n; first += blockDim.x) {
    int i = first + threadIdx.x;
    total += __syncthreads_count(i < n && key_of(value(tree.memory[2 * i])) >= bound);
  }
  return total;
}

// θ_(count) and θ_(count+1), the order statistics from above, by bisection on the bits of a bound between them.
template <typename Element>
__device__ Pair order_statistics(Tree<Element> tree, Row row, Span<Real> scratch) {
  Key bound = 0;
  int reached = row.n;
  for (Key bit = (Key)1 << (8 * sizeof(Key) - 1); bit && reached != row.count; bit >>= 1) {
    int trial = count_from(tree, row.n, bound | bit);
    if (trial < row.count) continue;
    bound |= bit;
    reached = trial;
  }
  Pair found = {infinity(), -infinity()};
  for (int i = threadIdx.x; i < row.n; i += blockDim.x) {
    Real theta = value(tree.memory[2 * i]);
    if (key_of(theta) >= bound) found.first = min(found.first, theta);
    else found.second = max(found.second, theta);
  }
  found = reduce<extremes>(found, scratch);
  return reached == row.count ? found : Pair{found.first, found.first};
}

// One step of Newton's method on the logit of Σp/n, guarded so that a saturated row yields a large finite step.
__device__ Real newton_step(Row row, Real total, Real spread) {
  Real tiny = 1e-30;
  Real rest = max(row.n - total, tiny);
  total = max(total, tiny);
  Real ratio = (total / rest) * (max((Real)(row.n - row.count), tiny) / max((Real)row.count, tiny));
  return log(ratio) * (total * rest / row.n) / max(spread, tiny);
}

// The shift, from a start between the order statistics, that brings Σp within a quarter standard deviation of k.
template <typename Element>
__device__ Real find_shift(Tree<Element> tree, Row row, Real start, Span<Real> scratch) {
  for (int i = threadIdx.x; i < row.n; i += blockDim.x) {
    Real distance = value(tree.memory[2 * i]) + start;
    tree.memory[2 * i + 1] = make<Element>(exp(min(max(distance, -FAR), FAR)));
  }
  Real shift = 0, low = -log((Real)(2 * (row.n - row.count) + 2)), high = log((Real)(2 * row.count + 2));
  for (int step = 0; step < NEWTON_STEPS; step++) {
    Real scale = exp(shift);
    Pair moments = {0, 0};
    for (int i = threadIdx.x; i < row.n; i += blockDim.x) {
      Real odds = value(tree.memory[2 * i + 1]) * scale, q = 1 / (1 + odds), p = odds * q;
      moments = sums(moments, {p, p * q});
    }
    moments = reduce<sums>(moments, scratch);
    Real excess = moments.first - row.count;
    if (excess * excess <= max(moments.second / 16, (Real)1e-6)) break;
    (excess < 0 ? low : high) = shift;
    Real next = shift - newton_step(row, moments.first, moments.second);
    shift = next > low && next < high ? next : (low + high) / 2;
  }
  return shift;
}

// Tilt a row that has been staged. False where it is infeasible; all threads agree.
template <typename Element>
__device__ bool find_tilt(Tree<Element> tree, Row row, Span<Real> scratch, Tilt& tilt) {
  Pair gap = order_statistics(tree, row, scratch);
  Real upper = gap.first, lower = gap.second;
  if (upper == -infinity() || lower == infinity()) return false;
  bool all_chosen = upper == infinity(), none_left = lower == -infinity();
  if (all_chosen) upper = none_left ? 0 : lower + FORCED;
  if (none_left) lower = all_chosen ? 0 : upper - FORCED;
  tilt.start = -(upper / 2 + lower / 2);
  tilt.shift = find_shift(tree, row, tilt.start, scratch);
  return true;
}

// Replace the staged logit of item i by its leaf, and return t = θ + λ. The start cancels huge logits first.
template <typename Element>
__device__ Real plant_leaf(Tree<Element> tree, int i, Tilt tilt) {
  Real t = (value(tree.memory[2 * i]) + tilt.start) + tilt.shift;
  Real rise = exp(min(t, (Real)0)), fall = exp(min(-t, (Real)0)), scale = 1 / (rise + fall);
  tree.memory[2 * i] = make<Element>(fall * scale);
  tree.memory[2 * i + 1] = make<Element>(rise * scale);
  return t;
}

// A tree has at least two leaves; the second of a single item is never chosen.
template <typename Element>
__device__ void plant_spare_leaf(Tree<Element> tree, Row row) {
  if (row.n != 1 || threadIdx.x != 0) return;
  tree.memory[2] = make<Element>(1);
  tree.memory[3] = make<Element>(0);
}

// ---------------------------------------------------------------------------------------------------- inside

template <typename Element>
__device__ Element coefficient(Span<Element> polynomial, int i) {
  return i >= 0 && i < polynomial.size ? polynomial[i] : Element{};
}

// TILE coefficients, from `start`, of the product of two polynomials of one length.
template <typename Element>
__device__ void multiply(Span<Element> left, Span<Element> right, Span<Element> out, int start) {
  Element sum[TILE] = {}, window[TILE];
  int first = max(0, start - (right.size - 1)), last = min(left.size - 1, start + TILE - 1);
  for (int j = 0; j < TILE; j++) window[j] = coefficient(right, start + j - first);
  for (int a = first; a <= last; a++) {
    for (int j = 0; j < TILE; j++) sum[j] += left[a] * window[j];
    for (int j = TILE - 1; j > 0; j--) window[j] = window[j - 1];
    window[0] = coefficient(right, start - a - 1);
  }
  for (int j = 0; j < TILE; j++)
    if (start + j < out.size) out[start + j] = sum[j];
}

// Build all levels over the planted leaves and return the last, which has two nodes.
template <typename Element>
__device__ Level rise(Tree<Element> tree) {
  Level level = tree.leaves();
  __syncthreads();
  while (level.nodes > 2) {
    Level parents = tree.above(level);
    int pairs = level.pairs(), tiles = (parents.size - 1) / TILE + 1;
    for (int task = threadIdx.x; task < pairs * tiles; task += blockDim.x) {
      int i = task / tiles;
      multiply(tree.node(level, i), tree.node(level, pairs + i), tree.node(parents, i), task % tiles * TILE);
    }
    if (level.nodes % 2 == 1) {
      Span<Element> lone = tree.node(level, 2 * pairs), raised = tree.node(parents, pairs);
      for (int c = threadIdx.x; c < raised.size; c += blockDim.x) raised[c] = coefficient(lone, c);
    }
    __syncthreads();
    level = parents;
  }
  return level;
}

// P(Σz = k), from the last level.
template <typename Element>
__device__ Element total_of(Tree<Element> tree, Level top, Row row, Span<Real> scratch) {
  Span<Element> left = tree.node(top, 0), right = tree.node(top, 1);
  Element sum = {};
  for (int i = threadIdx.x; i < left.size; i += blockDim.x) sum += left[i] * coefficient(right, row.count - i);
  Pair both = reduce<sums>({value(sum), slope(sum)}, scratch);
  return make<Element>(both.first, both.second);
}

// ---------------------------------------------------------------------------------------------------- outside

// TILE coefficients, from `start`, of the correlation of a parent's outside with a sibling: Σ_b outer[a + b] sibling[b].
template <typename Element>
__device__ void correlate(Span<Element> outer, Span<Element> sibling, Span<Element> out, int start) {
  Element sum[TILE] = {}, window[TILE];
  int last = min(sibling.size, outer.size - start) - 1;
  for (int j = 0; j < TILE; j++) window[j] = coefficient(outer, start + j);
  for (int b = 0; b <= last; b++) {
    for (int j = 0; j < TILE; j++) sum[j] += window[j] * sibling[b];
    for (int j = 0; j < TILE - 1; j++) window[j] = window[j + 1];
    window[TILE - 1] = coefficient(outer, start + b + TILE);
  }
  for (int j = 0; j < TILE; j++)
    if (start + j < out.size) out[start + j] = sum[j];
}

// Outside polynomials of one level, `inner`, from those of the level above.
template <typename Element>
__device__ void lower(Tree<Element> tree, Level level, Level parents, Span<Element> above, Span<Element> out) {
  int pairs = level.pairs(), size = level.size, tiles = (size - 1) / TILE + 1;
  for (int task = threadIdx.x; task < 2 * pairs * tiles; task += blockDim.x) {
    int i = task / tiles, pair = i % pairs, sibling = i < pairs ? pairs + i : i - pairs;
    Span<Element> outer = above.part(pair * parents.size, parents.size);
    correlate(outer, tree.node(level, sibling), out.part(i * size, size), task % tiles * TILE);
  }
  if (level.nodes % 2 == 1) {
    Span<Element> outer = above.part(pairs * parents.size, parents.size), lone = out.part(2 * pairs * size, size);
    for (int a = threadIdx.x; a < size; a += blockDim.x) lone[a] = outer[a];
  }
}

// Outside polynomials of the leaves, (2 coefficients) to an item.
template <typename Element>
__device__ Span<Element> sink(Tree<Element> tree, Level level, Row row, Element total) {
  Span<Element> memory = tree.memory, outer = memory.part(memory.size - level.length(), level.length());
  for (int i = threadIdx.x; i < level.length(); i += blockDim.x) {
    int node = i / level.size, a = i % level.size;
    outer[i] = coefficient(tree.node(level, 1 - node), row.count - a) / total;
  }
  __syncthreads();
  for (bool at_end = false; level.depth > 0; at_end = !at_end) {
    Level children = tree.below(level);
    Span<Element> next = memory.part(at_end ? memory.size - children.length() : level.offset, children.length());
    lower(tree, children, level, outer, next);
    __syncthreads();
    outer = next;
    level = children;
  }
  return outer;
}

// ---------------------------------------------------------------------------------------------------- sampling

// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011): 64 random bits.
__device__ unsigned long long philox(unsigned c0, unsigned c1, unsigned c2, unsigned c3, unsigned k0, unsigned k1) {
  for (int round = 0; round < 10; round++) {
    unsigned long long x = 0xD2511F53ull * c0, y = 0xCD9E8D57ull * c2;
    c0 = (unsigned)(y >> 32) ^ c1 ^ k0;
    c2 = (unsigned)(x >> 32) ^ c3 ^ k1;
    c1 = (unsigned)y;
    c3 = (unsigned)x;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return (unsigned long long)c1 << 32 | c0;
}

// Uniforms in [−1/2, 1/2] for the draws from one row: given, or a stream of their own for every row and draw.
struct Uniforms {
  const Real* given;  // (draws, rows, n − 1), or null
  unsigned key[2];
  int row, rows, n;

  __device__ Real at(int draw, int pair) const {
    if (!given) return ((long long)philox(pair, draw, row, 0, key[0], key[1]) >> 11) * 1.1102230246251565e-16;
    Real u = row_of(given, (long long)draw * rows + row, n - 1)[pair];
    return u >= (Real)0.5 ? u - 1 : u;
  }
};

// The sum, and the running sum, of x over the first lanes of a group that divides one node: a thread, or a whole warp.
template <int GROUP>
__device__ Real group_total(Real x) {
  for (int distance = GROUP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
  return x;
}
template <int GROUP>
__device__ Real group_running(Real x) {
  for (int distance = 1; distance != GROUP; distance *= 2) {
    Real before = __shfl_up_sync(ALL_LANES, x, distance);
    if ((int)threadIdx.x % GROUP >= distance) x += before;
  }
  return x;
}

// How much of a node's count the left child gets: where the cumulative weights L[z] R[count − z] pass the fraction |u|
// of their sum, from below for u ≥ 0, else from above. Both tails are resolved as finely as floats near 0 are. Where
// rounding leaves nothing to pass it, the first count looked at: `left` and `right` hold the possible counts alone.
template <int GROUP>
__device__ int divide(Span<Real> left, Span<Real> right, int count, Real u) {
  int lowest = max(0, count - (right.size - 1)), highest = min(left.size - 1, count), lane = threadIdx.x % GROUP;
  Real total = 0, passed = 0;
  for (int z = lowest + lane; z <= highest; z += GROUP) total += left[z] * right[count - z];
  Real target = fabs(u) * group_total<GROUP>(total);
  int from = u < 0 ? highest : lowest, direction = u < 0 ? -1 : 1;
  for (int first = 0; first <= highest - lowest; first += GROUP) {
    int z = from + direction * (first + lane);
    Real weight = first + lane <= highest - lowest ? left[z] * right[count - z] : 0;
    Real reached = passed + group_running<GROUP>(weight);
    bool found = weight > 0 && reached > target;
    if (GROUP == 1) {
      if (found) return z;
      passed = reached;
    } else {
      unsigned lanes = __ballot_sync(ALL_LANES, found);
      if (lanes) return from + direction * (first + __ffs(lanes) - 1);
      passed = __shfl_sync(ALL_LANES, reached, GROUP - 1);
    }
  }
  return from;
}

// Counts of a level's nodes in several draws at once, from those of the level above.
template <int GROUP>
__device__ void divide_level(Tree<Real> tree, Level level, Span<unsigned short> above, Span<unsigned short> out,
                             Uniforms uniforms, int first_draw, int draws, int first_pair) {
  int pairs = level.pairs(), parents = above.size / draws;
  for (int task = threadIdx.x / GROUP; task < draws * pairs; task += blockDim.x / GROUP) {
    int draw = task / pairs, pair = task % pairs, count = above[draw * parents + pair], chosen = 0;
    if (count > 0) {
      Real u = uniforms.at(first_draw + draw, first_pair + pair);
      chosen = divide<GROUP>(tree.possible(level, pair), tree.possible(level, pairs + pair), count, u);
    }
    if (threadIdx.x % GROUP > 0) continue;
    out[draw * level.nodes + pair] = chosen;
    out[draw * level.nodes + pairs + pair] = count - chosen;
  }
  if (level.nodes % 2 == 0) return;
  for (int draw = threadIdx.x; draw < draws; draw += blockDim.x)
    out[draw * level.nodes + 2 * pairs] = above[draw * parents + pairs];
}

// Counts of the items in `draws` draws. Two arrays take turns.
__device__ Span<unsigned short> descend(Tree<Real> tree, Level level, Row row, Span<unsigned short> counts,
                                        Uniforms uniforms, int first_draw, int draws) {
  int half = counts.size / 2, used = 0;
  Span<unsigned short> above = counts.part(half, draws);
  for (int draw = threadIdx.x; draw < draws; draw += blockDim.x) above[draw] = row.count;
  __syncthreads();
  for (bool second = false;; second = !second) {
    Span<unsigned short> out = counts.part(second ? half : 0, draws * level.nodes);
    if (level.size < COOPERATE) divide_level<1>(tree, level, above, out, uniforms, first_draw, draws, used);
    else divide_level<WARP>(tree, level, above, out, uniforms, first_draw, draws, used);
    __syncthreads();
    if (level.depth == 0) return out;
    used += level.pairs();
    above = out;
    level = tree.below(level);
  }
}

__device__ void write_draws(Row row, Span<unsigned short> counts, Real* out, int i_row, int rows, int first_draw,
                            int draws) {
  int nodes = counts.size / draws;
  for (int task = threadIdx.x; task < draws * row.n; task += blockDim.x) {
    int draw = task / row.n, i = task % row.n;
    Real chosen = counts[draw * nodes + i];
    row_of(out, (long long)(first_draw + draw) * rows + i_row, row.n)[i] = row.flipped ? 1 - chosen : chosen;
  }
}

// ---------------------------------------------------------------------------------------------------- kernels

// `capacity` elements for the tree and for what overwrites it, in shared memory after the scratch or in a block's slab.
template <typename Element>
__device__ Span<Element> tree_memory(Real* slab, int slab_stride, int capacity) {
#if KSUBSET_SLAB
  return Span<Element>((Element*)(slab + (long long)blockIdx.x * slab_stride), capacity);
#else
  return Span<Element>((Element*)((Real*)shared_memory + SCRATCH), capacity);
#endif
}

#define BATCH                                                                                                         \
  const Real *logits, const long long *k, int logits_stride, int k_stride, int k_everywhere, int width, int rows,     \
      int n, Real *slab, int slab_stride, int capacity

// tilted: t = θ + λ. log_partition: log P(Σz = k) − Σ log max(p, q), with the very p and q that enter P, so that their
// rounding cancels. chosen, unchosen: μ and 1 − μ, exactly 0 and 1 where ±∞ decides, or null.
extern "C" __global__ void __launch_bounds__(MOST_THREADS, 1)
    ksubset_solve(BATCH, Real* tilted, Real* log_partition, Real* chosen, Real* unchosen) {
  Batch batch = {logits, k, logits_stride, k_stride, k_everywhere, width, rows, n};
  Span<Real> scratch((Real*)shared_memory, SCRATCH), memory = tree_memory<Real>(slab, slab_stride, capacity);
  for (int i_row = blockIdx.x; i_row < rows; i_row += gridDim.x) {
    Row row = open(batch, i_row);
    Tree<Real> tree(memory, row);
    Tilt tilt;
    Span<Real> shifted = row_of(tilted, i_row, n), volume = row_of(log_partition, i_row, 1);
    if (!row.feasible || !stage(tree, row, logits_of(batch, i_row)) || !find_tilt(tree, row, scratch, tilt)) {
      Real nan = infinity() - infinity();
      fill(shifted, nan);
      fill(volume, nan);
      if (chosen) fill(row_of(chosen, i_row, n), nan), fill(row_of(unchosen, i_row, n), nan);
      continue;
    }
    Pair likely = {0, 0};
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      Real t = plant_leaf(tree, i, tilt);
      shifted[i] = row.flipped ? -t : t;
      likely = compensated(likely, {log(tree.memory[2 * i + (t > 0)]), 0});
    }
    plant_spare_leaf(tree, row);
    Level top = rise(tree);
    Real total = total_of(tree, top, row, scratch);
    likely = reduce<compensated>(likely, scratch);
    if (threadIdx.x == 0) volume[0] = log(total) - (likely.first + likely.second);
    if (!chosen) continue;
    Span<Real> outer = sink(tree, top, row, total);
    Span<Real> more = row_of(row.flipped ? unchosen : chosen, i_row, n);
    Span<Real> less = row_of(row.flipped ? chosen : unchosen, i_row, n);
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      Real q = tree.memory[2 * i], p = tree.memory[2 * i + 1];
      less[i] = p == 0 ? 1 : min(q * outer[2 * i], (Real)1);
      more[i] = q == 0 ? 1 : min(p * outer[2 * i + 1], (Real)1);
    }
  }
}

// Slopes of the leaves along v, centred by its pq-weighted mean, which J maps to 0; 0 at the items that ±∞ decides.
__device__ void plant_slopes(Tree<Dual> tree, Row row, Span<const Real> logits, Span<const Real> v, Span<Real> scratch) {
  Pair moments = {0, 0};
  for (int i = threadIdx.x; i < row.n; i += blockDim.x) {
    Real weight = value(tree.memory[2 * i]) * value(tree.memory[2 * i + 1]);
    moments = sums(moments, {weight, isinf(logits[i]) ? 0 : weight * v[i]});
  }
  moments = reduce<sums>(moments, scratch);
  Real mean = moments.second / max(moments.first, (Real)1e-37);
  for (int i = threadIdx.x; i < row.n; i += blockDim.x) {
    Real q = value(tree.memory[2 * i]), p = value(tree.memory[2 * i + 1]);
    Real push = 2 * p * q * ((isinf(logits[i]) ? 0 : v[i] / 2) - mean / 2);  // v − mean may overflow
    tree.memory[2 * i] = {q, -push};
    tree.memory[2 * i + 1] = {p, push};
  }
}

// J · v, read from the less likely side of each item, where it keeps its relative accuracy.
extern "C" __global__ void __launch_bounds__(MOST_THREADS, 1) ksubset_jacobian(BATCH, const Real* v, int v_stride, Real* out) {
  Batch batch = {logits, k, logits_stride, k_stride, k_everywhere, width, rows, n};
  Span<Real> scratch((Real*)shared_memory, SCRATCH);
  Span<Dual> memory = tree_memory<Dual>(slab, slab_stride, capacity);
  for (int i_row = blockIdx.x; i_row < rows; i_row += gridDim.x) {
    Row row = open(batch, i_row);
    Tree<Dual> tree(memory, row);
    Tilt tilt;
    Span<const Real> theta = logits_of(batch, i_row), along(v + (long long)i_row * v_stride, n);
    Span<Real> product = row_of(out, i_row, n);
    if (!row.feasible || !stage(tree, row, theta) || !find_tilt(tree, row, scratch, tilt)) {
      fill(product, infinity() - infinity());
      continue;
    }
    for (int i = threadIdx.x; i < n; i += blockDim.x) plant_leaf(tree, i, tilt);
    plant_spare_leaf(tree, row);
    plant_slopes(tree, row, theta, along, scratch);
    Level top = rise(tree);
    Span<Dual> outer = sink(tree, top, row, total_of(tree, top, row, scratch));
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      Dual q = tree.memory[2 * i], p = tree.memory[2 * i + 1];
      product[i] = p.value > q.value ? -(q * outer[2 * i]).slope : (p * outer[2 * i + 1]).slope;
    }
  }
}

// Subsets, (draws, rows, n), from `given` uniforms (draws, rows, n − 1) or, where that is null, from two uniforms in
// [0, 1) that seed the streams. `shares` blocks divide the draws from a row; a block makes `at_once` of them together.
extern "C" __global__ void __launch_bounds__(MOST_THREADS, 1)
    ksubset_sample(BATCH, const Real* given, const double* seed, int draws, int shares, int at_once, Real* out) {
  Batch batch = {logits, k, logits_stride, k_stride, k_everywhere, width, rows, n};
  Span<Real> scratch((Real*)shared_memory, SCRATCH), memory = tree_memory<Real>(slab, slab_stride, capacity);
  Span<unsigned short> counts((unsigned short*)(memory.data + capacity), 2 * at_once * max(n, 2));
  for (long long work = blockIdx.x; work < (long long)rows * shares; work += gridDim.x) {
    int i_row = work / shares, share = work % shares;
    int first = (long long)draws * share / shares, end = (long long)draws * (share + 1) / shares;
    Row row = open(batch, i_row);
    Tree<Real> tree(memory, row);
    Tilt tilt;
    if (!row.feasible || !stage(tree, row, logits_of(batch, i_row)) || !find_tilt(tree, row, scratch, tilt)) {
      for (int draw = first; draw < end; draw++)
        fill(row_of(out, (long long)draw * rows + i_row, n), infinity() - infinity());
      continue;
    }
    for (int i = threadIdx.x; i < n; i += blockDim.x) plant_leaf(tree, i, tilt);
    plant_spare_leaf(tree, row);
    Level top = rise(tree);
    Uniforms uniforms = {given, {}, i_row, rows, n};
    for (int word = 0; seed && word < 2; word++)
      uniforms.key[word] = (unsigned)(Span<const double>(seed, 2)[word] * 4294967296.0);
    for (; first < end; first += at_once) {
      int now = min(at_once, end - first);
      write_draws(row, descend(tree, top, row, counts, uniforms, first, now), out, i_row, rows, first, now);
    }
  }
}

// What launches kernels is tried by it.
extern "C" __global__ void ksubset_nothing() {}

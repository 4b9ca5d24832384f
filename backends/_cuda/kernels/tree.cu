// The kernel that turns given uniforms into subsets, by the binary tree of the core; see ksubset/_engine/tree.py.
//
//   inside   going up, a node's polynomial is the product of its two children's. Its coefficient c is the probability
//            that c of its items are chosen; a leaf is (q, p).
//   sample   going down, a node's count is divided between its children with probabilities ∝ L[i] R[count − i]. Neither
//            child ever gets more than it has items, whatever rounding does: every draw has exactly k ones.
//
// Level 0 holds the leaves. The first half of the nodes of a level is paired with the second; an odd last node rises
// alone. Every node of a level has as many coefficients as the level's largest count needs, and a row that chooses more
// than half of its items is replaced by its complement, so that no polynomial has more than n/2 + 1.
//
// The tree is in shared memory, or, with -DKSUBSET_SLAB=1, in global memory that each block reuses from row to row.

constexpr int TILE = 3;  // coefficients to a thread; odd, so that neighbouring threads read different banks
constexpr int COOPERATE = 16;  // coefficients from which a whole warp divides a node's count

struct Level {
  int depth, nodes, size, offset;
  __device__ int length() const { return nodes * size; }
  __device__ int pairs() const { return nodes / 2; }
};

struct Tree {
  Span<Real> memory;
  int n, items, limit;

  __device__ Tree(Span<Real> memory, int n, int count)
      : memory(memory), n(n), items(max(n, 2)), limit(max(count, 1) + 1) {}

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
  __device__ Span<Real> node(Level level, int i) const {
    return memory.part(level.offset + i * level.size, level.size);
  }
  // A node without the coefficients above its number of items: 1 << depth, or what is left for the last of a level.
  __device__ Span<Real> possible(Level level, int i) const {
    return node(level, i).part(0, min(level.size, n - (i << level.depth) + 1));
  }
};

// A tree has at least two leaves; the second of a single item is never chosen.
__device__ void plant_leaves(Tree tree, Row row, Tilt<Real> tilt) {
  for (int i = threadIdx.x; i < tree.items; i += blockDim.x) {
    Item<Real> x = i < row.n ? item_at(row, i, tilt) : Item<Real>{};
    Real most = 1 - x.rare;
    tree.memory[2 * i] = x.likely ? x.rare : most;
    tree.memory[2 * i + 1] = x.likely ? most : x.rare;
  }
}

__device__ Real coefficient(Span<Real> polynomial, int i) {
  return i >= 0 && i < polynomial.size ? (Real)polynomial[i] : 0;
}

// TILE coefficients, from `start`, of the product of two polynomials of one length.
__device__ void multiply(Span<Real> left, Span<Real> right, Span<Real> out, int start) {
  Real sum[TILE] = {}, window[TILE];
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
__device__ Level rise(Tree tree) {
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
      Span<Real> lone = tree.node(level, 2 * pairs), raised = tree.node(parents, pairs);
      for (int c = threadIdx.x; c < raised.size; c += blockDim.x) raised[c] = coefficient(lone, c);
    }
    __syncthreads();
    level = parents;
  }
  return level;
}

// Uniforms in [−1/2, 1/2] for the draws from one row, (draws, rows, n − 1).
struct Uniforms {
  const Real* given;
  int row, rows, n;

  __device__ Real at(int draw, int pair) const {
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

// Counts of a level's nodes in several draws at once, from the counts of the level above.
template <int GROUP>
__device__ void divide_level(Tree tree, Level level, Span<unsigned short> above, Span<unsigned short> out,
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
__device__ Span<unsigned short> descend(Tree tree, Level level, int count, Span<unsigned short> counts,
                                        Uniforms uniforms, int first_draw, int draws) {
  int half = counts.size / 2, used = 0;
  Span<unsigned short> above = counts.part(half, draws);
  for (int draw = threadIdx.x; draw < draws; draw += blockDim.x) above[draw] = count;
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

// `capacity` numbers for the tree, in shared memory after the scratch or in a block's slab.
__device__ Span<Real> tree_memory(Real* slab, int slab_stride, int capacity) {
#if KSUBSET_SLAB
  return Span<Real>(slab + (long long)blockIdx.x * slab_stride, capacity);
#else
  return Span<Real>(own_memory<Real>(), capacity);
#endif
}

// Subsets, (draws, rows, n). `shares` blocks divide the draws from a row; a block makes `at_once` of them together.
extern "C" __global__ void __launch_bounds__(MOST_THREADS, 1)
    ksubset_descend(BATCH, Real* slab, int slab_stride, int capacity, const Real* given, int draws, int shares,
                    int at_once, Real* out) {
  Batch batch = {logits, k, logits_stride, k_words, k_everywhere, width, rows, n};
  Team team = team_of(blockDim.x, nullptr);
  Span<Real> memory = tree_memory(slab, slab_stride, capacity);
  Span<unsigned short> counts((unsigned short*)(memory.data + capacity), 2 * at_once * max(n, 2));
  for (long long work = blockIdx.x; work < (long long)rows * shares; work += gridDim.x) {
    int i_row = work / shares, share = work % shares;
    int first = (long long)draws * share / shares, end = (long long)draws * (share + 1) / shares;
    long long wanted = count_at(batch, i_row);
    Row row = row_at(batch, i_row, 2 * wanted > n);
    int count = row.flipped ? n - wanted : wanted;
    Tilt<Real> tilt;
    Totals<Real> totals;
    if (!is_feasible(batch, wanted) || !find_tilt(team, row, count, tilt, totals)) {
      for (int draw = first; draw < end; draw++)
        fill(team, row_of(out, (long long)draw * rows + i_row, n), not_a_number());
      continue;
    }
    Tree tree(memory, n, count);
    plant_leaves(tree, row, tilt);
    Level top = rise(tree);
    for (; first < end; first += at_once) {
      int now = min(at_once, end - first);
      Span<unsigned short> drawn = descend(tree, top, count, counts, {given, i_row, rows, n}, first, now);
      write_draws(row, drawn, out, i_row, rows, first, now);
    }
  }
}

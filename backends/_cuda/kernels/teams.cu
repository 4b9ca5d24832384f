// Teams: the threads that share a row, a part of a warp or a whole block, and what they compute together.

struct Team {
  int rank, size;
  unsigned lanes;  // its lanes of this warp

  // What one of its threads has written to shared memory, all may read.
  __device__ void meet() const {
    if (size > WARP) __syncthreads();
    else __syncwarp(lanes);
  }
};

// Threads in teams of `size`, a power of two that divides the block.
__device__ Team team_of(int size) {
  unsigned lanes = size < WARP ? ((1u << size) - 1) << (threadIdx.x % WARP / size * size) : ALL_LANES;
  return {(int)threadIdx.x % size, size, lanes};
}

template <typename N>
__device__ Two<N> sums(Two<N> x, Two<N> y) {
  return {x.a + y.a, x.b + y.b};
}
template <typename N>
__device__ Two<N> extremes(Two<N> x, Two<N> y) {
  return {min(x.a, y.a), max(x.b, y.b)};
}
// A sum and what rounding took from it (Ogita, Rump & Oishi, "Accurate sum and dot product", 2005).
template <typename N>
__device__ Two<N> compensated(Two<N> x, Two<N> y) {
  N total = x.a + y.a, shadow = total - x.a;
  return {total, x.b + y.b + ((x.a - (total - shadow)) + (y.a - shadow))};
}
// Complex numbers.
template <typename N>
__device__ Two<N> product(Two<N> x, Two<N> y) {
  return {x.a * y.a - x.b * y.b, x.a * y.b + x.b * y.a};
}
// (1 + x)(1 + y) − 1: small factors' digits are not rounded away beside the 1.
template <typename N>
__device__ Two<N> product_less_one(Two<N> x, Two<N> y) {
  return {x.a + (y.a + (x.a * y.a - x.b * y.b)), x.b + (y.b + (x.a * y.b + x.b * y.a))};
}

// Combine the pairs of all threads of a team; every thread gets the result. Not inlined, it halves the machine code.
template <typename N, Two<N> combine(Two<N>, Two<N>)>
__device__ __noinline__ Two<N> reduce(Team team, Two<N> x) {
  for (int distance = min(team.size, WARP) / 2; distance > 0; distance /= 2) {
    Two<N> other = {__shfl_xor_sync(team.lanes, x.a, distance), __shfl_xor_sync(team.lanes, x.b, distance)};
    x = combine(x, other);
  }
  if (team.size <= WARP) return x;
  Span<N> scratch((N*)shared_memory, 2 * MOST_THREADS / WARP);
  __syncthreads();
  if (team.rank % WARP == 0) {
    scratch[team.rank / WARP * 2] = x.a;
    scratch[team.rank / WARP * 2 + 1] = x.b;
  }
  __syncthreads();
  x = {scratch[0], scratch[1]};
  for (int warp = 1; warp < team.size / WARP; warp++) {
    Two<N> other = {scratch[2 * warp], scratch[2 * warp + 1]};
    x = combine(x, other);
  }
  return x;
}

template <typename N>
__device__ N sum(Team team, N x) {
  return reduce<N, sums>(team, {x, 0}).a;
}

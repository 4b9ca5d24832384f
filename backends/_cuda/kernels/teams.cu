// Teams: the threads that share a row, a part of a warp, a whole block, or, with -DKSUBSET_WIDE=1, all blocks of a
// launch, and what they compute together.

struct Team {
  int rank, size;
  unsigned lanes;  // its lanes of this warp
#if KSUBSET_WIDE
  unsigned* meeting;  // where its blocks meet, see meeting.cu; null for the threads of one block

  // Its threads in this block.
  __device__ Team within() const { return {(int)threadIdx.x, (int)blockDim.x, lanes, nullptr}; }
#else
  __device__ Team within() const { return *this; }
#endif

  // What one of its threads has written to shared memory, all may read.
  __device__ void meet() const {
    if (size > WARP) __syncthreads();
    else __syncwarp(lanes);
  }
};

#define TEAM int size, unsigned *meeting

// Threads in teams of `size`, a power of two that divides the block; or all of a launch, whose blocks have `size`.
__device__ Team team_of(int size, unsigned* meeting) {
#if KSUBSET_WIDE
  return {(int)(blockIdx.x * blockDim.x + threadIdx.x), (int)(gridDim.x * blockDim.x), ALL_LANES, meeting};
#else
  unsigned lanes = size < WARP ? ((1u << size) - 1) << (threadIdx.x % WARP / size * size) : ALL_LANES;
  return {(int)threadIdx.x % size, size, lanes};
#endif
}

// How many teams a launch has, and the number of this one.
__device__ long long teams_of(int size) { return KSUBSET_WIDE ? 1 : (long long)gridDim.x * (blockDim.x / size); }
__device__ long long number_of_team(int size) {
  return KSUBSET_WIDE ? 0 : (long long)blockIdx.x * (blockDim.x / size) + threadIdx.x / size;
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
  Team own = team.within();
  for (int distance = min(own.size, WARP) / 2; distance > 0; distance /= 2) {
    Two<N> other = {__shfl_xor_sync(own.lanes, x.a, distance), __shfl_xor_sync(own.lanes, x.b, distance)};
    x = combine(x, other);
  }
  if (own.size <= WARP) return x;
  Span<N> scratch((N*)shared_memory, 2 * MOST_THREADS / WARP);
  __syncthreads();
  if (own.rank % WARP == 0) {
    scratch[own.rank / WARP * 2] = x.a;
    scratch[own.rank / WARP * 2 + 1] = x.b;
  }
  __syncthreads();
  x = {scratch[0], scratch[1]};
  for (int warp = 1; warp < own.size / WARP; warp++) {
    Two<N> other = {scratch[2 * warp], scratch[2 * warp + 1]};
    x = combine(x, other);
  }
#if KSUBSET_WIDE
  if (team.meeting) x = combined_of_blocks<N, combine>(team.meeting, scratch, x);
#endif
  return x;
}

template <typename N>
__device__ N sum(Team team, N x) {
  return reduce<N, sums>(team, {x, 0}).a;
}

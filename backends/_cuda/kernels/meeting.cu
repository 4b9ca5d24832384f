// All blocks of a launch meet: each brings a pair, and all get the combination. They must run at the same time, which a
// cooperative launch sees to.
//
// The memory, zero before the launch, holds how many blocks have arrived, how many meetings are over, and from the
// fifth word on the pairs, in two banks that take turns: nobody writes a pair before all have read the last but one.

#ifndef KSUBSET_WIDE
#define KSUBSET_WIDE 0
#endif

#if KSUBSET_WIDE
#ifndef KSUBSET_CHECKED
__device__ void wait_while(const volatile unsigned* place, unsigned value) {
  while (*place == value) {}
}
#endif

// By one thread of each block.
__device__ void meet_blocks(unsigned* meeting, unsigned over) {
  __threadfence();
  if (atomicAdd(meeting, 1u) == gridDim.x - 1) {
    *(volatile unsigned*)meeting = 0;
    __threadfence();
    atomicAdd(meeting + 1, 1u);
  } else {
    wait_while(meeting + 1, over);
  }
  __threadfence();
}

// `scratch` is shared memory that all threads have read.
template <typename N, Two<N> combine(Two<N>, Two<N>)>
__device__ Two<N> combined_of_blocks(unsigned* meeting, Span<N> scratch, Two<N> x) {
  __syncthreads();
  if (threadIdx.x == 0) {
    unsigned over = *(volatile unsigned*)(meeting + 1);
    Span<volatile N> pairs((volatile N*)(meeting + 4 + (over & 1) * 4 * gridDim.x), 2 * gridDim.x);
    pairs[2 * blockIdx.x] = x.a, pairs[2 * blockIdx.x + 1] = x.b;
    meet_blocks(meeting, over);
    x = {pairs[0], pairs[1]};
    for (int block = 1; block < (int)gridDim.x; block++) {
      Two<N> other = {pairs[2 * block], pairs[2 * block + 1]};
      x = combine(x, other);
    }
    scratch[0] = x.a, scratch[1] = x.b;
  }
  __syncthreads();
  return {scratch[0], scratch[1]};
}
#endif

// What all kernels share: numbers, spans of memory, shared memory.
//
// Compiled with -DKSUBSET_REAL=float or double. An empty array is passed as a null pointer. blockDim.x is a multiple of
// WARP, at most MOST_THREADS.

typedef KSUBSET_REAL Real;

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffff;
constexpr int MOST_THREADS = 512;

// Its start, two doubles to a warp, serves reductions over a block.
extern __shared__ double shared_memory[];

// The shared memory after that, to a kernel's own ends.
template <typename N>
__device__ N* own_memory() {
  return (N*)(shared_memory + 2 * MOST_THREADS / WARP);
}

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

template <typename T>
__device__ Span<T> row_of(T* array, long long row, int n) {
  return Span<T>(array + row * n, n);
}

template <typename N>
struct Two {
  N a, b;
};

__device__ Real infinity() { return -log((Real)0); }
__device__ Real not_a_number() { return infinity() - infinity(); }

__device__ float reciprocal(float x) { return __fdividef(1.0f, x); }
__device__ double reciprocal(double x) { return 1 / x; }

// sin πx and cos πx.
__device__ Two<float> half_turns(float x) {
  Two<float> out;
  sincospif(x, &out.a, &out.b);
  return out;
}
__device__ Two<double> half_turns(double x) {
  Two<double> out;
  sincospi(x, &out.a, &out.b);
  return out;
}

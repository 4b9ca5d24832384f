// Entry points for the kernels under test, called as the CUDA driver would: by an array of pointers to arguments.
#include "cuda.h"

alignas(16) double shared_memory[256 * 1024 / 8];

#include KSUBSET_SOURCE

namespace on_cpu {

struct Array {
  char* data;
  size_t bytes;
  bool scratch;
};

struct Geometry {
  int blocks, threads, shared_bytes, arrays;
  unsigned long long seed;
};

static void (*call)(void**);
static void** arguments;

template <typename... T, size_t... I>
void unpack(void (*kernel)(T...), void** values, std::index_sequence<I...>) {
  kernel(*(T*)values[I]...);
}

template <auto kernel, typename... T> auto caller(void (*)(T...)) {
  return [](void** values) { unpack(kernel, values, std::index_sequence_for<T...>()); };
}

static void add_region(char* data, size_t bytes, bool scratch) {
  regions.push_back({data, bytes, scratch, std::vector<Place>(bytes / GRAIN)});
  if (scratch) memset(data, 0xff, bytes);
}

static const char* launch(void (*kernel)(void**), Geometry geometry, const Array* arrays, void** values) {
  call = kernel, arguments = values, threads = geometry.threads, random_state = geometry.seed, failure = nullptr;
  blockDim.x = geometry.threads, gridDim.x = geometry.blocks;
  body = [] { call(arguments); };
  regions.clear();
  add_region((char*)shared_memory, geometry.shared_bytes, true);
  for (int i = 0; i < geometry.arrays; i++) add_region(arrays[i].data, arrays[i].bytes, arrays[i].scratch);
  for (blockIdx.x = 0; (int)blockIdx.x < geometry.blocks && !failure; blockIdx.x++) run_block();
  return failure;
}

}  // namespace on_cpu

using on_cpu::Array, on_cpu::Geometry, on_cpu::launch, on_cpu::caller;

// Returns what went wrong, or null.
#define ENTRY(kernel)                                                                                       \
  extern "C" const char* run_##kernel(Geometry geometry, const Array* arrays, void** values) {               \
    return launch(caller<&kernel>(&kernel), geometry, arrays, values);                                        \
  }
KSUBSET_ENTRIES

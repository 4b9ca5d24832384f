// Entry points for the kernels under test, called as the CUDA driver would: by an array of pointers to arguments.
#include <memory>

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
  int blocks, threads, shared_bytes, arrays, cooperative;
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

static void run_in_order(int blocks) {
  static Threads all;
  block = &all;
  for (blockIdx.x = 0; (int)blockIdx.x < blocks && !failure; blockIdx.x++) {
    start_block();
    if (!run_block()) failure = "a block waits for others, which need not run at the same time";
  }
}

// A block that takes turns with others, with its shared memory and who touched that.
struct Turns {
  std::unique_ptr<Threads> threads = std::make_unique<Threads>();
  std::vector<char> memory;
  std::vector<Place> places;
  bool ended = false;

  Turns(const Region& shared) : memory(shared.bytes, (char)0xff), places(shared.places.size()) {
    block = threads.get();
    start_block();
  }

  // Whether it did more than look whether its wait is over.
  bool run(Region& shared) {
    int before = epoch;
    block = threads.get();
    memcpy(shared.data, memory.data(), shared.bytes), shared.places.swap(places);
    for (int i = 0; i < on_cpu::threads; i++)
      if (block->fibers[i].state == AT_MEETING) block->fibers[i].state = READY;
    ended = run_block();
    memcpy(memory.data(), shared.data, shared.bytes), shared.places.swap(places);
    return ended || epoch > before + 1;
  }
};

static void run_together(int blocks) {
  std::vector<Turns> all;
  for (int i = 0; i < blocks; i++) all.emplace_back(regions[0]);
  for (bool moved = true; moved && !failure;) {
    moved = false;
    for (blockIdx.x = 0; (int)blockIdx.x < blocks && !failure; blockIdx.x++)
      if (!all[blockIdx.x].ended) moved |= all[blockIdx.x].run(regions[0]);
  }
  for (Turns& turns : all)
    if (!turns.ended && !failure) failure = "blocks wait for each other in vain";
}

static const char* launch(void (*kernel)(void**), Geometry geometry, const Array* arrays, void** values) {
  call = kernel, arguments = values, threads = geometry.threads, random_state = geometry.seed, failure = nullptr;
  in_turns = geometry.cooperative, awaited = nullptr;
  blockDim.x = geometry.threads, gridDim.x = geometry.blocks;
  body = [] { call(arguments); };
  regions.clear();
  add_region((char*)shared_memory, geometry.shared_bytes, true);
  for (int i = 0; i < geometry.arrays; i++) add_region(arrays[i].data, arrays[i].bytes, arrays[i].scratch);
  if (in_turns) run_together(geometry.blocks);
  else run_in_order(geometry.blocks);
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

// Executes CUDA source on the CPU, to test arithmetic, synchronisation and bounds where there is no GPU.
//
// A block's threads are fibers. Between barriers they run one after another in shuffled order. A launch fails, with a
// message, at a barrier or warp operation that not all of its threads reach together; at an index outside of a span, or
// a span outside of the arrays it was given; at a read of shared or slab memory that the block has not written; and at a
// race: two threads that touch one place, at least one of them writing, with no barrier between, nor a meeting
// (__syncwarp) of lanes to which both belong. Shuffles order nothing. A lane keeps to one mask for all of a launch.
//
// Blocks run one after the other, or, in a cooperative launch, in turns: a block whose thread waits for another block
// lets the others run. There two blocks that touch a place race unless such a wait has ended between.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <utility>
#include <vector>

#include "language.h"

struct Index {
  unsigned x;
};
static Index threadIdx, blockIdx, blockDim, gridDim;

namespace on_cpu {

enum State { READY, AT_WARP_OPERATION, AT_BARRIER, DONE, AT_MEETING };
constexpr int WARP = 32, MOST_THREADS = 512;
constexpr size_t STACK = 64 * 1024;
constexpr int NEVER = 1 << 30;  // meetings that a place waits for where no lanes that meet have read it alone

struct Fiber {
  State state;
  int line, bank[DONE], meetings;
  unsigned lanes;
  bool started;
  ucontext_t start;
  jmp_buf position;
};

// Threads of a block, and the values that they exchange.
struct Threads {
  Fiber fibers[MOST_THREADS];
  char stacks[MOST_THREADS][STACK];
  char exchanged[DONE][2][MOST_THREADS][8];
};

static Threads* block;
static jmp_buf scheduler;
static void (*body)();
static int current, threads, epoch;
static bool in_turns;  // whether blocks run so
static int over;  // meetings of blocks
static const volatile unsigned* awaited;
static const char* failure;
static unsigned long long random_state;

inline int random_below(int n) {
  random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
  return int((random_state >> 33) % n);
}

// ------------------------------------------------------------------------------------------ memory

// Who touched a place last, in which epoch between barriers, and after how many meetings; `several`, and who was latest.
struct Touch {
  int epoch = -1, thread = 0, meetings, block, over;
  bool several;

  // Whether the current thread comes after it.
  bool is_over() const {
    if (block != (int)blockIdx.x) return epoch < 0 || over != on_cpu::over || !in_turns;
    if (epoch != on_cpu::epoch || (thread == current && !several)) return true;
    Fiber *fibers = on_cpu::block->fibers, &other = fibers[thread], &own = fibers[current];
    return thread / WARP == current / WARP && other.lanes == own.lanes && meetings < own.meetings;
  }
};

// Places are two bytes wide.
struct Place {
  Touch written, read;
  int written_in_block = -1;
};
constexpr size_t GRAIN = 2;

struct Region {
  char* data;
  size_t bytes;
  bool scratch;  // belongs to a block, and starts out holding nothing
  std::vector<Place> places;
};
static std::vector<Region> regions;

[[noreturn]] inline void fail(const char* message) {
  failure = message;
  longjmp(scheduler, 1);
}

inline void touch(Region& region, const void* data, size_t bytes, bool writes) {
  size_t first = ((char*)data - region.data) / GRAIN;
  int now = block->fibers[current].meetings, own = blockIdx.x;
  for (size_t i = first; i < first + bytes / GRAIN; i++) {
    Place& place = region.places[i];
    if (!place.written.is_over()) fail("race: two threads, one of them having written");
    if (writes) {
      if (!place.read.is_over()) fail("race: written after another thread's read");
      place.written = {epoch, current, now, own, over, false}, place.written_in_block = own;
    } else {
      if (region.scratch && place.written_in_block != own) fail("read of memory never written");
      bool apart = block->fibers[place.read.thread].lanes != block->fibers[current].lanes;
      if (place.read.is_over()) place.read = {epoch, current, now, own, over, false};
      else place.read = {epoch, current, apart ? NEVER : max(place.read.meetings, now), own, over, true};
    }
  }
}

inline Region* region_of(const void* data, size_t bytes) {
  for (Region& region : regions)
    if ((char*)data >= region.data && (char*)data + bytes <= region.data + region.bytes) return &region;
  fail("span outside of every array");
}

template <typename T> struct Reference {
  T* data;
  Region* region;
  operator std::remove_cv_t<T>() const {
    touch(*region, (const void*)data, sizeof(T), false);
    return *data;
  }
  T operator=(T x) const {
    touch(*region, (const void*)data, sizeof(T), true);
    return *data = x;
  }
  T operator=(const Reference& other) const { return *this = (T)other; }
};

}  // namespace on_cpu

template <typename T> struct Span {
  T* data;
  int size;
  on_cpu::Region* region;
  Span(T* data, int size) : data(data), size(size), region(on_cpu::region_of((const void*)data, size * sizeof(T))) {}
  on_cpu::Reference<T> operator[](int i) const {
    if (i < 0 || i >= size) on_cpu::fail("index outside of its span");
    return {data + i, region};
  }
  Span part(int start, int length) const {
    if (start < 0 || length < 0 || start + length > size) on_cpu::fail("part outside of its span");
    Span found = *this;
    found.data += start;
    found.size = length;
    return found;
  }
};

// ------------------------------------------------------------------------------------------ threads

namespace on_cpu {

inline void run_fiber() {
  body();
  block->fibers[current].state = DONE, block->fibers[current].line = 0;
  longjmp(scheduler, 1);
}

inline void wait(State state, int line) {
  block->fibers[current].state = state;
  block->fibers[current].line = line;
  if (!setjmp(block->fibers[current].position)) longjmp(scheduler, 1);
}

inline void resume(int thread) {
  if (setjmp(scheduler)) return;
  Fiber& fiber = block->fibers[current = thread];
  threadIdx.x = thread;
  if (fiber.started) longjmp(fiber.position, 1);
  fiber.started = true;
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = block->stacks[thread];
  fiber.start.uc_stack.ss_size = STACK;
  makecontext(&fiber.start, run_fiber, 0);
  setcontext(&fiber.start);
}

// All of a group of threads wait for the same thing at the same line; a thread that has ended waits for nothing.
inline bool agree(int first, int end, State state) {
  for (int i = first; i < end; i++)
    if (block->fibers[i].state != state || block->fibers[i].line != block->fibers[first].line) return false;
  return true;
}

inline void release(int first, int end) {
  for (int i = first; i < end; i++) block->fibers[i].state = READY;
}

inline void shuffle(int* order, int size) {
  for (int i = 0; i < size; i++) order[i] = i;
  for (int i = size - 1; i > 0; i--) std::swap(order[i], order[random_below(i + 1)]);
}

// The lanes that wait with one of a warp, if all of its mask do so, at one line; else none.
inline unsigned together(int first, int lane) {
  unsigned lanes = block->fibers[first + lane].lanes;
  for (int i = 0; i < WARP; i++) {
    if (!(lanes >> i & 1)) continue;
    Fiber& other = block->fibers[first + i];
    if (other.state != AT_WARP_OPERATION || other.lanes != lanes || other.line != block->fibers[first + lane].line) return 0;
  }
  return lanes;
}

// Let those go on who have waited for each other; whether there are any.
inline bool release_lanes(int first) {
  bool any = false;
  for (int lane = 0; lane < WARP; lane++) {
    if (block->fibers[first + lane].state != AT_WARP_OPERATION) continue;
    unsigned lanes = together(first, lane);
    for (int i = 0; i < WARP; i++)
      if (lanes >> i & 1) block->fibers[first + i].state = READY, any = true;
  }
  return any;
}

// Run a warp until all of its threads are at a barrier or have ended.
inline void run_warp(int first) {
  int order[WARP];
  do {
    shuffle(order, WARP);
    for (int lane : order) {
      if (block->fibers[first + lane].state == READY) resume(first + lane);
      if (failure) return;
    }
  } while (release_lanes(first));
  for (int i = first; i < first + WARP; i++)
    if (block->fibers[i].state == AT_WARP_OPERATION) failure = "warp operation that part of its lanes do not reach";
}

inline void start_block() {
  for (Fiber* fiber = block->fibers; fiber < block->fibers + threads; fiber++) {
    fiber->state = READY, fiber->started = false, fiber->line = fiber->meetings = 0, fiber->lanes = 0;
    fiber->bank[AT_WARP_OPERATION] = fiber->bank[AT_BARRIER] = 0;
  }
}

// Run a block until it has ended, or one of its threads waits for other blocks; whether it has ended.
inline bool run_block() {
  int order[MOST_THREADS / WARP];
  while (true) {
    epoch++;
    shuffle(order, threads / WARP);
    for (int warp = 0; warp < threads / WARP && !failure; warp++) run_warp(order[warp] * WARP);
    if (failure || agree(0, threads, DONE)) return true;
    for (int i = 0; i < threads; i++)
      if (block->fibers[i].state == AT_MEETING) return false;
    if (!agree(0, threads, AT_BARRIER)) return failure = "barrier that part of the block does not reach", true;
    release(0, threads);
  }
}

// Wait for another block to change a place, by which a meeting is over.
inline void wait_while(const volatile unsigned* place, unsigned value) {
  awaited = place;
  while (*place == value) wait(AT_MEETING, 0);
}

inline unsigned add(unsigned* place, unsigned x) {
  unsigned before = *place;
  *place += x;
  if (place == awaited) over++;
  return before;
}

// Exchange a value with the other threads: two banks take turns, so that nobody overwrites what is still to be read.
template <typename T> const char (*publish(T x, State state, int line))[8] {
  auto bank = block->exchanged[state][block->fibers[current].bank[state] ^= 1];
  memcpy(bank[current], &x, sizeof x);
  wait(state, line);
  return bank;
}

// A lane names itself among those it waits for, and always the same.
inline void join(unsigned lanes) {
  Fiber& fiber = block->fibers[current];
  if (!(lanes >> current % WARP & 1)) fail("warp operation of lanes without its own");
  if (fiber.lanes && fiber.lanes != lanes) fail("warp operation of other lanes than before");
  fiber.lanes = lanes;
}

template <typename T> T from_lane(unsigned lanes, T x, int lane, int line) {
  int first = current / WARP * WARP;
  join(lanes);
  if (!(lanes >> lane & 1)) fail("value of a lane that does not take part");
  T y;
  memcpy(&y, publish(x, AT_WARP_OPERATION, line)[first + lane], sizeof y);
  return y;
}

inline unsigned ballot(unsigned lanes, bool x, int line) {
  int first = current / WARP * WARP;
  join(lanes);
  auto bank = publish(x, AT_WARP_OPERATION, line);
  unsigned found = 0;
  for (int lane = 0; lane < WARP; lane++) found |= (lanes >> lane & 1) * (unsigned)bank[first + lane][0] << lane;
  return found;
}

inline void meet(unsigned lanes, int line) {
  join(lanes);
  wait(AT_WARP_OPERATION, line);
  block->fibers[current].meetings++;
}

inline int count(bool x, int line) {
  auto bank = publish(x, AT_BARRIER, line);
  int found = 0;
  for (int i = 0; i < threads; i++) found += bank[i][0];
  return found;
}

}  // namespace on_cpu

using on_cpu::wait_while;
#define __threadfence()
#define atomicAdd(place, x) on_cpu::add(place, x)
#define LANE (on_cpu::current % on_cpu::WARP)
#define __syncthreads() on_cpu::wait(on_cpu::AT_BARRIER, __LINE__)
#define __syncthreads_count(x) on_cpu::count(x, __LINE__)
#define __syncthreads_or(x) (on_cpu::count(x, __LINE__) > 0)
#define __syncwarp(mask) on_cpu::meet(mask, __LINE__)
#define __ballot_sync(mask, x) on_cpu::ballot(mask, x, __LINE__)
#define __shfl_sync(mask, x, lane) on_cpu::from_lane(mask, x, lane, __LINE__)
#define __shfl_xor_sync(mask, x, bits) on_cpu::from_lane(mask, x, LANE ^ (bits), __LINE__)
#define __shfl_up_sync(mask, x, by) on_cpu::from_lane(mask, x, LANE >= (by) ? LANE - (by) : LANE, __LINE__)

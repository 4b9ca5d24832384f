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
#include "spans.h"

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

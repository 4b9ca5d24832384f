// Which threads there are, which of them runs, and what became of the launch.
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

[[noreturn]] inline void fail(const char* message) {
  failure = message;
  longjmp(scheduler, 1);
}

}  // namespace on_cpu

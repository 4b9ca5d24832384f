// Arrays whose every touch is checked: bounds, memory never written, races.
#pragma once
#include "state.h"

namespace on_cpu {

// Who touched a place last, in which epoch between barriers, and after how many meetings; `several`, and who was latest.
struct Touch {
  int epoch = -1, thread = 0, meetings, block = -1, over;
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

// Independent items, drawn at once. Their bits come from a counter, so that nothing of a draw is kept: once it is
// accepted it is made again, and written.
//
// Until then the memory of the subset holds, for each item, the 31 leading bits of min(p, q), and whether the likely
// side is to be chosen. An item's 31 random bits decide; where they tie, once in 2³¹ times, 53 more do.

constexpr int GROUP = 4;  // items to a place of the stream
constexpr unsigned LIKELY = 1u << 31;
constexpr double SCALE = 2147483648.0;  // 2³¹
constexpr unsigned TIES = 1u << 30, WHOLE = 1u << 31, COUNT = WHOLE + 1;  // places of the stream, after the groups'

// Where a draw's items first, …, end − 1 go; `first` is a multiple of GROUP.
struct Draw {
  Team team;
  Row row;
  Tilt<Real> tilt;
  Span<Real> out;

  __device__ Span<unsigned> thresholds() const {
    return Span<unsigned>((unsigned*)out.data, out.size * (int)(sizeof(Real) / sizeof(unsigned)));
  }
  __device__ decltype(auto) threshold(int i) const {
    return thresholds()[i * (int)(sizeof(Real) / sizeof(unsigned))];
  }
};

__device__ void put_thresholds(Draw draw, int first, int end) {
  for (int group = first + GROUP * draw.team.rank; group < end; group += GROUP * draw.team.size)
    for (int i = group; i < min(group + GROUP, end); i++) {
      Item<Real> x = item_at(draw.row, i, draw.tilt);
      draw.threshold(i) = (unsigned)(x.rare * (Real)SCALE) | (x.likely ? LIKELY : 0);
    }
}

// Whether an item whose leading bits tie takes its less likely side.
__device__ bool settle_tie(Draw draw, int i, unsigned leading, Stream stream) {
  return stream.uniform(TIES + i) < (double)item_at(draw.row, i, draw.tilt).rare * SCALE - leading;
}

__device__ bool is_chosen(Draw draw, int i, unsigned bits, Stream stream) {
  unsigned threshold = draw.threshold(i), leading = threshold & ~LIKELY;
  bool rare = bits < leading || (bits == leading && settle_tie(draw, i, leading, stream));
  return rare != (threshold >> 31);
}

// How many of the items are chosen; `writes` puts the subset in the place of the thresholds.
__device__ int draw_items(Draw draw, int first, int end, Stream stream, bool writes) {
  int chosen = 0;
  for (int group = first + GROUP * draw.team.rank; group < end; group += GROUP * draw.team.size) {
    Words words = stream.at(group / GROUP);
#pragma unroll
    for (int j = 0; j < GROUP; j++) {
      int i = group + j;
      if (i >= end) continue;
      bool one = is_chosen(draw, i, words.word[j] >> 1, stream);
      if (writes) draw.out[i] = one;
      chosen += one;
    }
  }
  return writes ? chosen : sum(draw.team, chosen);
}

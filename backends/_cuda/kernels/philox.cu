// Random bits: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

struct Words {
  unsigned word[4];
};

__device__ Words philox(Words counter, unsigned k0, unsigned k1) {
  unsigned c0 = counter.word[0], c1 = counter.word[1], c2 = counter.word[2], c3 = counter.word[3];
#pragma unroll
  for (int round = 0; round < 10; round++) {
    unsigned long long x = 0xD2511F53ull * c0, y = 0xCD9E8D57ull * c2;
    c0 = (unsigned)(y >> 32) ^ c1 ^ k0;
    c2 = (unsigned)(x >> 32) ^ c3 ^ k1;
    c1 = (unsigned)y;
    c3 = (unsigned)x;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

// The random bits of a draw from a row: for every attempt, four words to a place.
struct Stream {
  unsigned key[2], row, draw, attempt;

  __device__ Words at(unsigned place) const { return philox({place, attempt, draw, row}, key[0], key[1]); }
  // A uniform in [0, 1) of 53 bits.
  __device__ double uniform(unsigned place) const {
    Words found = at(place);
    return (((unsigned long long)found.word[1] << 32 | found.word[0]) >> 11) * 1.1102230246251565e-16;
  }
};

// The nodes of the contour: the trapezoidal rule for P(Σz = k), the Fourier coefficient of the row's characteristic
// function, which falls off so fast that few nodes carry all of it. See ksubset/_engine/nodes.py.

// The most threads of a block; numbers of 64 bits take more registers.
constexpr int TEAM_THREADS = sizeof(Real) == 4 ? MOST_THREADS : MOST_THREADS / 2;

constexpr float LOG_ERROR_SINGLE = 18;
constexpr double LOG_ERROR_DOUBLE = 38;

// Numbers kept for each node: cos φ − 1, sin φ, cos²(φ/2); the integrand and its change, real and imaginary part.
enum Kind { FALL, SINE, FLOOR, RE, IM, DRE, DIM, KINDS };

template <typename N>
struct Nodes {
  Span<N> board;
  int most, size;
  N period;

  __device__ decltype(auto) at(Kind kind, int j) const { return board[kind * most + j]; }
  // Two numbers that stand together, such as RE and IM.
  __device__ Two<N> complex(Kind kind, int j) const { return {at(kind, j), at(Kind(kind + 1), j)}; }
  __device__ void put(Kind kind, int j, Two<N> x) const { at(kind, j) = x.a, at(Kind(kind + 1), j) = x.b; }
  // φ in units of π.
  __device__ N angle(int j) const { return 2 * (j + (N)0.5) / period; }
};

// Nodes for counts within `reach` of Σp. Those that are not used have the factor 1.
template <typename N>
__device__ Nodes<N> place_nodes(Team team, N variance, N reach, Span<N> board, int most) {
  N error = sizeof(N) == 4 ? LOG_ERROR_SINGLE : LOG_ERROR_DOUBLE, v = max(variance, (N)0.25), used = 0;
  N period = 2 * ceil((sqrt(2 * error * v) + error / 3 + reach) / 2);
  Nodes<N> nodes = {board, most, 0, period};
  Team own = team.within();
  for (int j = own.rank; j < most; j += own.size) {
    Two<N> half = half_turns((j + (N)0.5) / period);
    bool needed = half.b > 0 && 2 * half.a * half.a * v <= error && 2 * j + 1 < (int)period;
    nodes.at(FALL, j) = needed ? -2 * half.a * half.a : 0;
    nodes.at(SINE, j) = needed ? 2 * half.a * half.b : 0;
    nodes.at(FLOOR, j) = needed ? half.b * half.b : 1;
    used += needed;
  }
  nodes.size = (int)sum(own, used);
  team.meet();
  return nodes;
}

// The kernel that draws subsets and computes the marginals of the same rows, from one λ.

// The most threads of a block: both together take more registers.
constexpr int TOGETHER_THREADS = TEAM_THREADS > MOST_THREADS / 2 ? MOST_THREADS / 2 : TEAM_THREADS;

// The memory of a team's draws serves its marginals first.
__device__ Span<Real> board_before_draws(Team team, int n) {
  if (n <= FEW) return board_of(team);
  return Span<Real>((Real*)(own_memory<double>() + threadIdx.x / team.size * REST_BOARD), BOARD);
}

extern "C" __global__ void __launch_bounds__(TOGETHER_THREADS, 1)
    ksubset_sample_with_marginals(BATCH, TEAM, DRAWING, Real* chosen) {
  Batch batch = {logits, k, logits_stride, k_words, k_everywhere, width, rows, n};
  Drawing drawing = {seeds, of_seed, draws, shares, chances, least, counts, tilts, out};
  auto write_marginals = [=](Team team, int i, Tilt<Real> tilt, Totals<Real> totals, bool feasible) {
    Row row = row_at(batch, i, false);
    Span<Real> mean = row_of(chosen, i, n);
    if (feasible) write_moments(team, row, tilt, totals, board_before_draws(team, n), {mean.data, nullptr});
    else fill(team, mean, not_a_number());
  };
  draw_rows(batch, team_of(size, meeting), size, drawing, write_marginals);
}

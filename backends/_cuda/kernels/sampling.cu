// The kernel that draws subsets.

extern "C" __global__ void __launch_bounds__(TEAM_THREADS, 1) ksubset_sample(BATCH, TEAM, DRAWING) {
  Batch batch = {logits, k, logits_stride, k_words, k_everywhere, width, rows, n};
  Drawing drawing = {seeds, of_seed, draws, shares, chances, least, counts, tilts, out};
  draw_rows(batch, team_of(size, meeting), size, drawing, [](Team, int, Tilt<Real>, Totals<Real>, bool) {});
}

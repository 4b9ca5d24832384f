// The kernels of moments and of J · v: teams of threads, a row to each at a time.

__device__ Span<Real> board_of(Team team) {
  return Span<Real>(own_memory<Real>() + threadIdx.x / team.size * BOARD, BOARD);
}

// Both marginals of an item: μ and 1 − μ.
__device__ Two<Real> sides(Nodes<Real> nodes, Item<Real> x) {
  Real change = deviation(nodes, x), most = 1 - x.rare, p = x.likely ? most : x.rare, q = x.likely ? x.rare : most;
  return {min(p * (1 + q * change), (Real)1), min(q * (1 - p * change), (Real)1)};
}
__device__ Two<Real> sides(Exchange known, Item<Real> x) {
  Real rare = exchanged(known, x);
  return x.likely ? Two<Real>{1 - rare, rare} : Two<Real>{rare, 1 - rare};
}

struct Answers {
  Span<Real> tilted, log_partition;
  Real *chosen, *unchosen;  // null where they are not asked for
};

template <typename Known>
__device__ void write_sides(Team team, Row row, Tilt<Real> tilt, Known known, Answers out) {
  Span<Real> chosen(out.chosen, row.n), unchosen(out.unchosen, row.n);
  for (int i = team.rank; i < row.n; i += team.size) {
    Two<Real> found = sides(known, item_at(row, i, tilt));
    chosen[i] = found.a, unchosen[i] = found.b;
  }
}

// Writes t, and returns Σ log(1 + w).
__device__ Real write_tilted(Team team, Row row, Tilt<Real> tilt, Span<Real> tilted) {
  Two<Real> volume = {0, 0};
  for (int i = team.rank; i < row.n; i += team.size) {
    Item<Real> x = item_at(row, i, tilt);
    tilted[i] = x.t;
    volume = compensated(volume, {log1p(x.odds), (Real)0});
  }
  volume = reduce<Real, compensated>(team, volume);
  return volume.a + volume.b;
}

__device__ void solve_row(Team team, Row row, Tilt<Real> tilt, Totals<Real> totals, Answers out) {
  Real volume = write_tilted(team, row, tilt, out.tilted), log_partition;
  if (totals.is_still()) {
    Exchange known = exchange(team, row, tilt, board_of(team), nullptr);
    log_partition = log1p(known.more);
    if (out.chosen) write_sides(team, row, tilt, known, out);
  } else {
    Nodes<Real> nodes = place_nodes(team, totals.spread, fabs(totals.gap), board_of(team), MOST_NODES);
    log_partition = volume + log(find_integrand(team, row, tilt, totals.ahead, nodes));
    if (out.chosen) write_sides(team, row, tilt, nodes, out);
  }
  if (team.rank == 0) out.log_partition[0] = log_partition;
  team.meet();
}

// λ, (2, rows), start and shift, NaN where a row is infeasible, or null; t = θ + λ;
// log Σ_z exp(−Σ_i |t_i| · 1{z_i ≠ (t_i > 0)}); μ and 1 − μ, or null. Teams of `size` threads.
extern "C" __global__ void __launch_bounds__(TEAM_THREADS, 1)
    ksubset_solve(BATCH, int size, Real* tilts, Real* tilted, Real* log_partition, Real* chosen, Real* unchosen) {
  Batch batch = {logits, k, logits_stride, k_words, k_everywhere, width, rows, n};
  Team team = team_of(size);
  int teams = blockDim.x / size;
  for (long long i = (long long)blockIdx.x * teams + threadIdx.x / size; i < rows; i += (long long)gridDim.x * teams) {
    Row row = row_at(batch, i, false);
    long long count = count_at(batch, i), place = i * n;
    Answers out = {row_of(tilted, i, n), row_of(log_partition, i, 1), chosen ? chosen + place : chosen,
                   unchosen ? unchosen + place : unchosen};
    Tilt<Real> tilt = {not_a_number(), not_a_number()};
    Totals<Real> totals;
    bool feasible = is_feasible(batch, count) && find_tilt(team, row, count, tilt, totals);
    keep_tilt(team, batch, i, tilt, tilts);
    if (feasible) {
      solve_row(team, row, tilt, totals, out);
      continue;
    }
    fill(team, out.tilted, not_a_number());
    if (team.rank == 0) out.log_partition[0] = not_a_number();
    if (!chosen) continue;
    fill(team, row_of(chosen, i, n), not_a_number());
    fill(team, row_of(unchosen, i, n), not_a_number());
  }
}

__device__ void multiply_row(Team team, Row row, Tilt<Real> tilt, Totals<Real> totals, Direction along,
                             Span<Real> out) {
  if (totals.is_still()) {
    Exchange known = exchange(team, row, tilt, board_of(team), &along);
    for (int i = team.rank; i < row.n; i += team.size) {
      Item<Real> x = item_at(row, i, tilt);
      out[i] = product_of(known, x, along.push(i, x.odds));
    }
  } else {
    Nodes<Real> nodes = place_nodes(team, totals.spread, fabs(totals.gap), board_of(team), MOST_NODES);
    find_integrand(team, row, tilt, totals.ahead, nodes);
    find_change(team, row, tilt, along, nodes);
    for (int i = team.rank; i < row.n; i += team.size) {
      Item<Real> x = item_at(row, i, tilt);
      out[i] = product_of(nodes, x, along.push(i, x.spread));
    }
  }
  team.meet();
}

// J · v. λ, (2, rows), start and shift, may be known, else null.
extern "C" __global__ void __launch_bounds__(TEAM_THREADS, 1)
    ksubset_jacobian(BATCH, int size, const Real* known, const Real* v, int v_stride, Real* out) {
  Batch batch = {logits, k, logits_stride, k_words, k_everywhere, width, rows, n};
  Team team = team_of(size);
  int teams = blockDim.x / size;
  for (long long i = (long long)blockIdx.x * teams + threadIdx.x / size; i < rows; i += (long long)gridDim.x * teams) {
    Row row = row_at(batch, i, false);
    long long count = count_at(batch, i);
    Tilt<Real> tilt;
    Totals<Real> totals;
    bool feasible = is_feasible(batch, count);
    if (feasible && known) {
      tilt = {row_of(known, 0, rows)[i], row_of(known, 1, rows)[i]};
      feasible = !isnan(tilt.start);
      totals = totals_of(team, row, tilt, (Real)count);
    } else if (feasible) {
      feasible = find_tilt(team, row, count, tilt, totals);
    }
    if (!feasible) {
      fill(team, row_of(out, i, n), not_a_number());
      continue;
    }
    Direction along = centred(team, row, tilt, Span<const Real>(v + i * v_stride, n));
    multiply_row(team, row, tilt, totals, along, row_of(out, i, n));
  }
}

// The kernels of moments and of J · v: teams of threads, a row to each at a time.

// λ, (2, rows), start and shift, NaN where a row is infeasible, or null; t = θ + λ;
// log Σ_z exp(−Σ_i |t_i| · 1{z_i ≠ (t_i > 0)}); μ and 1 − μ, or null. Teams of `size` threads.
extern "C" __global__ void __launch_bounds__(TEAM_THREADS, 1)
    ksubset_solve(BATCH, TEAM, Real* tilts, Real* tilted, Real* log_partition, Real* chosen, Real* unchosen) {
  Batch batch = {logits, k, logits_stride, k_words, k_everywhere, width, rows, n};
  Team team = team_of(size, meeting);
  for (long long i = number_of_team(size); i < rows; i += teams_of(size)) {
    Row row = row_at(batch, i, false);
    long long count = count_at(batch, i), place = i * n;
    Span<Real> t = row_of(tilted, i, n), log_sum = row_of(log_partition, i, 1);
    Tilt<Real> tilt = {not_a_number(), not_a_number()};
    Totals<Real> totals;
    bool feasible = is_feasible(batch, count) && find_tilt(team, row, count, tilt, totals);
    keep_tilt(team, batch, i, tilt, tilts);
    if (feasible) {
      Sides wanted = {chosen ? chosen + place : nullptr, unchosen ? unchosen + place : nullptr};
      Real volume = write_tilted(team, row, tilt, t);
      Real found = write_moments(team, row, tilt, totals, board_of(team), wanted);
      if (team.rank == 0) log_sum[0] = totals.is_still() ? found : volume + found;
      continue;
    }
    fill(team, t, not_a_number());
    fill(team, log_sum, not_a_number());
    if (chosen) fill(team, row_of(chosen, i, n), not_a_number());
    if (unchosen) fill(team, row_of(unchosen, i, n), not_a_number());
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
    ksubset_jacobian(BATCH, TEAM, const Real* known, const Real* v, int v_stride, Real* out) {
  Batch batch = {logits, k, logits_stride, k_words, k_everywhere, width, rows, n};
  Team team = team_of(size, meeting);
  for (long long i = number_of_team(size); i < rows; i += teams_of(size)) {
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

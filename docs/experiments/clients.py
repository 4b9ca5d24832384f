"""Three layers that choose, trained with this library and with the dynamic programme that routers use today.

Each layer is trained eagerly, under bfloat16 autocast, with checkpointing, compiled, and by two processes. Both
samplers draw from one law, and the gradients have one expectation, so the losses must be the same within noise.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from clients_layers import CLIENTS
from clients_samplers import SAMPLERS
from clients_training import WAYS
from support import HERE, Claim, finish, parser, save
from tqdm import tqdm

PAGE = HERE / "clients.md"
START, END = "<!-- written by clients.py -->", "<!-- end -->"
NOISE = 0.25
"""How far two losses may be apart, as a share of the larger: seeds of one sampler differ by as much."""

Results = dict[str, dict[str, dict[str, dict[str, Any]]]]


def run(client: str, way: str, sampler: str) -> dict[str, Any]:
    """The result of a training, or the last line of its error."""
    command = [sys.executable, str(Path(__file__).with_name("clients_training.py")), client, way, sampler]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "Error" in line] or ["ended without a word"]
        return {"error": lines[-1].strip()[:200]}
    return json.loads(done.stdout.splitlines()[-1])


def table(results: Results) -> str:
    """Each layer and way a row: both losses, and the times and peaks of memory."""
    lines = ["| layer | trained | loss | loss, theirs | ms a step | theirs | ratio | MB | theirs |", "|---" * 9 + "|"]
    for client, ways in results.items():
        for way, found in ways.items():
            a, b = (found[sampler] for sampler in SAMPLERS)
            cells = [shown(a, "loss", "{:.3f}"), shown(b, "loss", "{:.3f}")]
            cells += [shown(a, "milliseconds", "{:.1f}"), shown(b, "milliseconds", "{:.1f}"), ratio(a, b)]
            cells += [shown(a, "megabytes", "{:.0f}"), shown(b, "megabytes", "{:.0f}")]
            lines.append(f"| {client} | {way} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shown(found: dict[str, Any], name: str, form: str) -> str:
    return form.format(found[name]) if name in found else "fails"


def ratio(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    if "error" in ours or "error" in theirs:
        return "–"
    return f"{ours['milliseconds'] / theirs['milliseconds']:.2f}"


def claims(results: Results) -> list[Claim]:
    every = [(client, way, found) for client, ways in results.items() for way, found in ways.items()]
    ran = all("error" not in found["ksubset"] for _, _, found in every)
    both = [
        [x["loss"] for x in found.values()] for _, _, found in every if not any("error" in x for x in found.values())
    ]
    same = all(abs(a - b) <= NOISE * max(a, b) for a, b in both)
    return [
        Claim("every layer trains in every way", ran),
        Claim("losses are the same within noise", same and bool(both)),
    ]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--clients", nargs="+", default=list(CLIENTS), choices=CLIENTS)
    options, started = arguments.parse_args(), time.time()
    ways = WAYS[:1] if options.quick else WAYS
    jobs = [(client, way, sampler) for client in options.clients for way in ways for sampler in SAMPLERS]
    results: Results = {client: {way: {} for way in ways} for client in options.clients}
    for client, way, sampler in tqdm(jobs, unit="training"):
        results[client][way][sampler] = run(client, way, sampler)
    save(options, "clients", {"results": results}, started)
    print(table(results))
    if not options.quick:
        before, rest = PAGE.read_text().split(START)
        PAGE.write_text(f"{before}{START}\n\n{table(results)}\n\n{END}{rest.partition(END)[2]}")
    finish(claims(results))


if __name__ == "__main__":
    main()

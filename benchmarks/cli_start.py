"""How long `atelier --help` takes beside a bare Typer program's `--help`.

    python -m benchmarks.cli_start [--rounds 15]

Both start in turn, so that a busy machine is busy for both. The aim is at most 2×: nothing that
draws, stores or serves may be imported before it is needed.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = """
import typer

app = typer.Typer()


@app.command()
def draw(prompt: str, seed: int = 0) -> None:
    typer.echo(f"{prompt} {seed}")


@app.command()
def other() -> None:
    typer.echo("other")


app()
"""


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE, encoding="utf-8")
        commands = {
            "bare Typer program (baseline)": [sys.executable, str(bare), "--help"],
            "atelier --help": [str(Path(sys.executable).with_name("atelier")), "--help"],
        }
        for command in commands.values():  # the first start writes bytecode
            seconds(command)
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(seconds(command))
    medians = {name: statistics.median(found) for name, found in times.items()}
    baseline = next(iter(medians.values()))
    print(f"median of {rounds} starts, in turn")
    print("| command | median | beside the baseline |")
    print("|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median * 1000:.0f} ms | {median / baseline:.2f}× |")


if __name__ == "__main__":
    main()

"""The README is run from top to bottom: its files are written, its commands started, its screens compared.

And it is complete: every command, option, exit code, kind, key and attribute stands in it, and no other.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import math
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from affect.data import importing
from hpc_sweep import cluster, errors, grid, job, mend, results
from hpc_sweep.child import KINDS
from hpc_sweep.cli import cli
from hpc_sweep.resources import Resources
from hpc_sweep.status import PointStatus
from reader import CODE, README, ROOT, Block, Reader, Step, blocks, names, section, tables

LONG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
SOURCE = "\n".join(path.read_text() for path in sorted((ROOT / "src" / "hpc_sweep").glob("*.py")))
# options that are somebody else's: the scripts of slurm/devcluster, the example job, mypy, mlflow
FOREIGN = {"--profile", "--dir", "--rate", "--epochs", "--noise", "--point", "--strict", "--backend-store-uri"}

pytestmark = pytest.mark.xdist_group("readme")  # one walk for all of them


# it is run


@dataclass(frozen=True)
class Walk:
    """The README done in order: every step, and each screen with the step before it."""

    folder: Path
    steps: list[Step]
    screens: list[tuple[Block, Step]]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    reader = Reader(tmp_path_factory.mktemp("readme") / "project")
    steps: list[Step] = []
    screens: list[tuple[Block, Step]] = []
    for block in blocks():
        if block.mark.startswith("file: "):
            path = reader.folder / block.mark.removeprefix("file: ")
            assert not path.exists(), f"{path.name} is there already: the README would overwrite it"
            path.write_text(block.text)
        elif block.mark == "run":
            steps += reader.do(block)
        elif block.mark == "screen":
            screens.append((block, steps[-1]))
        else:
            assert not block.mark, f"README.md:{block.line}: `{block.mark}` means nothing"
    return Walk(reader.folder, steps, screens)


def test_every_command_ends_as_the_readme_says(walk: Walk) -> None:
    wrong = [
        f"README.md:{s.line}: exit {s.code}, not {s.expected}: {s.command}\n{s.output}{s.errors}"
        for s in walk.steps
        if s.code != s.expected
    ]
    assert not wrong, "\n".join(wrong)
    assert {0, 1, 2} == {s.code for s in walk.steps}


def test_every_screen_is_what_the_command_prints(walk: Walk) -> None:
    assert len(walk.screens) >= 2
    for block, step in walk.screens:
        assert timeless(step.output or step.errors) == timeless(block.text), f"README.md:{block.line}"


def timeless(screen: str) -> str:
    """A screen without what differs from run to run: who, when, how long, which code, and the widths of that."""
    screen = re.sub(r"· submitted .*", "", screen)
    screen = re.sub(r"\d+\.\d s\b", "1.0 s", screen)
    return re.sub(r" {2,}", "  ", screen).strip()


def test_the_examples_do_what_is_said_of_them(walk: Walk) -> None:
    said = {s.command.partition(" #")[0].strip(): s for s in walk.steps}
    assert "nothing to submit" in said["hpc-sweep submit configs/grids/trouble.yaml --yes"].output
    assert "TooNoisy: noise 2.0 hides the line" in said["python jobs/line.py --noise 2"].errors
    found = results.load(walk.folder / "sweeps" / "line" / "results")
    assert len(found.rows) == 15 and found.arrays("3a41559bc8be")["weights"].shape == (2,)
    again = json.loads(said["python jobs/line.py --point line/3a4155"].output)
    assert again["metrics"] == next(row.metrics for row in found.rows if row.id == "3a41559bc8be")
    assert "Mean slope; the truth is 3" in (found.path.parent / "report.md").read_text()


def test_the_example_goes_on_from_where_it_stopped(walk: Walk, tmp_path: Path) -> None:
    example = job.load("line", walk.folder / "jobs")
    config = example.config(epochs=20)
    told: list[str] = []

    def context(name: str, stop_after: float = math.inf) -> job.Context:
        def stop() -> bool:
            return len(here.history.get("loss", ())) > stop_after

        here = job.Context(
            seed=0,
            scratch=tmp_path / name,
            resources={},
            send=lambda event, **more: told.append(event),
            stop_asked=stop,
        )
        return here

    whole = example.module.run(config, context("whole"))
    with pytest.raises(job.Stopped):
        example.module.run(config, context("parts", stop_after=7))
    parts = context("parts")
    assert example.module.run(config, parts).metrics == whole.metrics
    assert [step for step, _ in parts.history["loss"]] == list(range(20))


def test_the_demo_prints_its_screen(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "project")
    path = reader.folder / "configs" / "grids" / "demo.yaml"
    path.write_text(re.sub(r"step_seconds: [\d.]+", "step_seconds: 0", path.read_text()))
    step = reader.run(["hpc-sweep", "submit", str(path), "--cluster", "local", "--yes", "--wait"], "make demo", 0, 0)
    assert step.code == 0, step.output + step.errors
    screen = next(b.text for b in blocks() if b.text.startswith("demo"))
    assert timeless(screen) in timeless(step.output)


# what the command line has


def options(command: click.Command, *, short: bool = False) -> set[str]:
    found = {o for p in command.params if isinstance(p, click.Option) and not p.hidden for o in p.opts}
    return {o for o in found if short or o.startswith("--")}


def test_the_synopsis_has_every_command_with_every_option() -> None:
    text = next(b.text for b in blocks() if b.text.startswith("hpc-sweep submit GRID"))
    told: dict[str, set[str]] = {}
    for entry in re.split(r"^hpc-sweep ", text, flags=re.MULTILINE)[1:]:
        told[entry.split()[0]] = set(LONG.findall(entry))
    assert told == {name: options(command) for name, command in cli.commands.items()}


def test_every_option_is_explained_and_no_other() -> None:
    explained = {o for name in names(tables("Commands")[0]) for o in re.findall(r"(?<!\w)--?[a-z][a-z-]*", name)}
    known = {o for c in cli.commands.values() for o in options(c, short=True)} | {"--help", "-h", "--version"}
    assert explained == known


def test_no_option_is_told_that_nobody_has() -> None:
    known = {o for c in cli.commands.values() for o in options(c)} | {"--help", "--version"}
    assert set(LONG.findall(README)) - known == FOREIGN


def commands_in(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0].rpartition("/")[2] == "hpc-sweep":
            yield words[1:]


def test_every_command_parses() -> None:
    shell = [b.text for b in blocks() if b.language == "sh"]
    makefile = re.findall(r"^\t\$\(VENV\)/bin/(hpc-sweep .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    inline = [code for code in CODE.findall(README) if code.startswith("hpc-sweep ")]
    found = [words for text in [*shell, *makefile, *inline] for words in commands_in(text)]
    assert len(found) > 12 and makefile and inline
    for words in found:
        parse(words)


def parse(words: list[str]) -> None:
    assert words[0] in cli.commands, f"there is no command `{words[0]}`"
    cli.commands[words[0]].make_context(words[0], words[1:])  # raises where a word is not understood


@pytest.mark.parametrize("name", ["", *cli.commands])
def test_every_help_fits_the_screen_and_ends_in_an_example(name: str) -> None:
    told = CliRunner().invoke(cli, [*name.split(), "--help"], prog_name="hpc-sweep", terminal_width=None)
    assert told.exit_code == 0
    lines = told.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines[1:] if line.endswith("...")], "a summary is cut short"
    example = lines[-1].strip().removeprefix("Example: ")
    words = shlex.split(example)
    assert words[0] == "hpc-sweep" and (not name or words[1] == name)
    parse(words[1:])


def test_the_shell_completes(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "project")
    for shell in ("bash", "zsh"):
        variable = f"_HPC_SWEEP_COMPLETE={shell}_source"
        assert f'eval "$({variable} hpc-sweep)"' in README
        step = reader.run(["bash", "-c", f"{variable} hpc-sweep"], variable, 0, 0)
        assert step.code == 0 and "_HPC_SWEEP_COMPLETE" in step.output
    command = "COMP_WORDS='hpc-sweep submit --dr' COMP_CWORD=2 _HPC_SWEEP_COMPLETE=bash_complete hpc-sweep"
    assert reader.run(["bash", "-c", command], command, 0, 0).output == "plain,--dry-run\n"


# what files and jobs have


def test_every_exit_code_is_told() -> None:
    known = {v for k, v in vars(errors).items() if k.isupper() and isinstance(v, int)}
    assert {int(row[0]) for row in tables("Exit codes")[0]} == known


def test_every_kind_of_failure_is_told() -> None:
    assert names(tables("Kinds of failure")[0]) == [*KINDS, "damaged"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_rerun_does_is_what_the_readme_says(kind: str) -> None:
    profile = cluster.load(ROOT / "slurm")["v100"]
    given = {"minutes": 60.0, "points_per_shard": 4, "mem": 8.0, "cpus": 1, "accumulate": 1}
    point = PointStatus(None, "failed", kind, node="n1")  # type: ignore[arg-type]
    changed = {k: v for k, v in mend.policy(point, dict(given), profile).items() if given.get(k) != v}
    row = next(row for row in tables("Kinds of failure")[0] if row[0] == f"`{kind}`")
    told = set(names([row], 2)) & {"accumulate", "mem", "minutes"} | ({"exclude"} if "other nodes" in row[2] else set())
    assert told == set(changed)
    assert ("doubles" in row[2]) == any(v == 2 * given[k] for k, v in changed.items() if k in given)


def test_every_key_of_a_grid_is_told() -> None:
    keys, resources = tables("Writing a grid")[:2]
    assert set(names(keys)) >= set(grid._Written.model_fields)
    assert [row[0].strip("`") for row in keys] == list(grid._Written.model_fields)
    assert set(names(resources)) == set(Resources.model_fields)
    assert "`when:" in section("Writing a grid") and "`why`" in section("Writing a grid")


def test_the_defaults_of_resources_are_true() -> None:
    told = {name: row[2] for row in tables("Writing a grid")[1] for name in names([row])}
    nothing = {"mem": "the cluster's", "deepspeed": "none", "minutes": "needed"}
    for name, field in Resources.model_fields.items():
        assert told[name] == (nothing[name] if field.default is None or field.is_required() else f"{field.default:g}")


def test_every_key_of_a_profile_is_told() -> None:
    rows = tables("On your cluster")[0]
    assert set(names(rows)) == set(cluster.Profile.model_fields) - {"name"}
    for key, inner in (("identify", cluster.Identify), ("node", cluster.Node), ("limits", cluster.Limits)):
        row = next(row for row in rows if f"`{key}`" in row[0])
        assert set(names([row], 1)) >= set(inner.model_fields)
    for key in ("warn_seconds", "file_delay"):
        row = next(row for row in rows if f"`{key}`" in row[0])
        assert f"({cluster.Profile.model_fields[key].default:g})" in row[1]


def test_everything_that_a_run_is_given_is_told(tmp_path: Path) -> None:
    context = job.Context(seed=1, scratch=tmp_path, resources={}, send=lambda **event: None, stop_asked=lambda: False)
    public = {name for name in dir(context) if not name.startswith("_")}
    assert {name.partition("(")[0] for name in names(tables("A job of your own")[0])} == public


def test_every_function_that_a_job_may_have_is_told() -> None:
    asked = {one or other for one, other in re.findall(r'\.optional\("(\w+)"\)|_asked\(job, "(\w+)"', SOURCE)}
    assert {name.partition("(")[0] for name in names(tables("A job of your own")[1])} == asked


def test_every_profile_knob_and_script_of_the_devcluster_is_told() -> None:
    folder = ROOT / "slurm" / "devcluster"
    up = (folder / "up").read_text()
    profiles = re.search(r"=~ \^\(([\w|]+)\)\$", up)
    rows = tables("A real Slurm on one machine")[0]
    assert profiles and names(rows) == profiles[1].split("|")
    knobs = re.findall(r"^#   ([A-Z]+=\d*) ", up, re.MULTILINE)
    assert knobs and [name for name in names(rows, 2) if name.isupper() or "=" in name] == knobs
    scripts = {p.name for p in folder.iterdir() if p.is_file() and os.access(p, os.X_OK)}
    assert scripts == {name for name in scripts if re.search(rf"devcluster/{name}\b|\b{name} 2\b", README)}
    assert not set(re.findall(r"devcluster/([\w-]+)", README)) - scripts


def test_every_target_of_the_makefile_is_told() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    assert set(re.findall(r"`make (\w+)[^`]*`", README)) == set(targets[1].split())


# what it may not say


def test_every_file_that_is_named_is_there() -> None:
    made = {b.mark.removeprefix("file: ") for b in blocks() if b.mark.startswith("file: ")}
    told = {c for c in CODE.findall(README) if re.match(r"(tests|slurm|src)/[\w/.-]+\.\w+$", c)} - made
    assert not [name for name in told if not (ROOT / name).exists() and "NAME" not in name]


def test_every_promise_names_a_test_that_holds_it() -> None:
    rows = tables("Six promises")[0]
    assert [row[0] for row in rows] == list("123456")
    for row in rows:
        held = names([row], 2)
        assert held
        for name in held:
            tree = ast.parse((ROOT / name).read_text())
            assert any(isinstance(n, ast.FunctionDef) and n.name.startswith("test_") for n in tree.body), name


def test_every_link_leads_somewhere() -> None:
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    anchors = {"#" + re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
    links = set(re.findall(r"\]\(([^)]+)\)", README))
    assert links and links <= anchors


def test_it_is_of_no_machine_and_no_registry() -> None:
    assert not re.findall(r"(?<![\w.])/(?:home|root|work|tmp|var|Users|mnt|opt)\b", README)
    assert not re.findall(r"(?i)pypi|anaconda\.|pytorch\.org|artifactory|nexus|conda-forge|index-url", README)
    assert set(re.findall(r"https?://[^\s`)]+", README)) <= {"http://server:5000"}


def test_it_has_no_emoji() -> None:
    signs = {c for c in README if not c.isascii()}
    assert not {c for c in signs if ord(c) >= 0x1F000 or 0x2600 <= ord(c) <= 0x27BF or c in "\u200d\ufe0f"} - {"✓", "✗"}


def test_every_format_of_data_and_its_options_are_told() -> None:
    (rows,) = tables("Your data")
    told = {name: set(names([row], 2)) for row in rows for name in names([row])}
    assert set(told) == set(importing.FORMATS)
    for format, options in told.items():
        module, _, reader = importing.FORMATS[format].partition(":")
        known = inspect.signature(getattr(importlib.import_module(module), reader)).parameters
        assert options == set(known) - {"source"}, format

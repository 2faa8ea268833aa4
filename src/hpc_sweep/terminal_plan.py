"""The screens of `submit` and `rerun`: what would start and what it costs, the question, what was started."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpc_sweep import local, outlook
from hpc_sweep import terminal_words as words
from hpc_sweep.terminal_page import Column, Line, Page, Part, blocks
from hpc_sweep.terminal_screen import Screen

if TYPE_CHECKING:
    from hpc_sweep.launch import Proposal
    from hpc_sweep.ledger import Claim, Sweep
    from hpc_sweep.shards import Plan

_MOST_AXES = 8
_MOST_SHAPES = 3
_MOST_ARRAYS = 4

Fact = tuple[str, str, str]


def plan(screen: Screen, proposal: Proposal, scripts: Sequence[str] | None = None) -> None:
    """Show what would be started; `scripts` are the sbatch texts of a dry run."""
    screen.show(plan_lines(screen.page, proposal, scripts))


def plan_lines(page: Page, proposal: Proposal, scripts: Sequence[str] | None = None) -> list[Line]:
    if not proposal.chosen:
        return _nothing(page, proposal)
    rerun = proposal.why == "rerun"
    about = [f"rerun of {words.plural(len(proposal.chosen), 'point')}", "same configurations"]
    heading = page.heading(proposal.sweep.name, about if rerun else [proposal.grid["job"], proposal.grid["about"]])
    facts = [*_cluster(proposal), *_shapes(proposal), *_price(proposal), *_waits(proposal)]
    known = _mended(proposal) if rerun else _known(proposal)
    dry = _dry(proposal, scripts) if scripts is not None else []
    lines = blocks([heading], [] if rerun else _axes(page, proposal), page.facts([*facts, *known, *dry]))
    for text in scripts or ():
        lines += [[], *page.verbatim(text)]
    return lines if scripts is not None else [*lines, []]  # the question comes next


def _axes(page: Page, proposal: Proposal) -> list[Line]:
    axes: dict[str, list[Any]] = proposal.grid["axes"]
    rows: list[list[str]] = [[n, words.values(v), f"{len(v):,}", ""] for n, v in list(axes.items())[:_MOST_AXES]]
    if len(axes) > _MOST_AXES:
        rows.append([f"{len(axes) - _MOST_AXES} more", "", "", ""])
    count, skipped = len(proposal.points), int(proposal.grid["skipped"])
    product = [len(v) for v in axes.values()]
    left_out = f"{skipped:,} skipped" if skipped else ""
    if product and math.prod(product) == count + skipped:
        how = " × ".join(f"{n:,}" for n in product) + (f" − {left_out}" if skipped else "")
    else:
        how = left_out  # axes that go together: their lengths do not multiply
    rows.append(["points", how, f"= {count:,}", "as expected" if proposal.grid["expect"] == count else ""])
    columns = [Column("axis", least=8, wide=8), Column("values", least=16), Column(right=True), Column(drop=1)]
    return page.table(columns, rows)


def _cluster(proposal: Proposal) -> list[Fact]:
    profile = proposal.profile
    if profile.scheduler == "local":
        return [("cluster", "this machine", "")]
    where = [
        f"{name} {given}" for name, given in (("partition", profile.partition), ("account", profile.account)) if given
    ]
    return [("cluster", profile.name + (f" ({profile.about})" if profile.about else ""), ", ".join(where))]


def _shapes(proposal: Proposal) -> list[Fact]:
    """One line for all tasks that ask for the same."""
    tasks: Counter[str] = Counter()
    at_once: Counter[str] = Counter()
    for array in proposal.plans:
        shape = _shape(array)
        tasks[shape] += len(array.shards)
        if array.after is None:
            at_once[shape] += array.at_once or len(array.shards)
    if proposal.profile.scheduler == "local":
        slots = local.slots(proposal.plans[0].resources, proposal.profile.slots)
        at_once = Counter(dict.fromkeys(tasks, slots))
    facts = [
        (
            "shape" if k == 0 else "",
            shape.format(tasks=words.plural(count, "task"), cap=_cap(count, at_once[shape])),
            "",
        )
        for k, (shape, count) in enumerate(tasks.most_common(_MOST_SHAPES))
    ]
    more = len(tasks) - _MOST_SHAPES
    return facts + ([("", f"and {words.plural(more, 'other shape')}", "")] if more > 0 else [])


def _cap(tasks: int, at_once: int) -> str:
    return f", {at_once:,} at a time" if at_once < tasks else ""


def _shape(array: Plan) -> str:
    """What a task gets, with room for how many of them there are."""
    r = array.resources
    points = max(map(len, array.shards))
    nodes, ranks = int(r["nodes"]), int(r["tasks_per_node"])
    each = [
        f"{nodes} nodes × {ranks} ranks" if nodes * ranks > 1 else "",
        f"{r['gpus']} GPU" if r.get("gpus") else "",
        f"{r['cpus']} CPU",
        f"{float(r['mem']):g} GB" if r.get("mem") else "",
        f"limit {words.duration(60 * float(r['limit']))}",
        f"DeepSpeed {r['deepspeed']}" if r.get("deepspeed") else "",
        f"accumulating {r['accumulate']} times" if int(r.get("accumulate") or 1) > 1 else "",
        f"not on {r['exclude']}" if r.get("exclude") else "",
    ]
    return f"{{tasks}}{f' × {points} points' if points > 1 else ''}{{cap}}, " + ", ".join(filter(None, each))


def _price(proposal: Proposal) -> list[Fact]:
    price = proposal.price
    cost = f"{words.hours(price.hours)} {price.unit}-h, at most {words.hours(price.at_most)}"
    return [("price", cost, f"{words.about(60 * price.wall_minutes)} once running")]


def _waits(proposal: Proposal) -> list[Fact]:
    facts = []
    if proposal.after:
        needed = ", ".join(proposal.grid["needs"])
        facts.append(("after", f"{needed} ({words.plural(len(proposal.after), 'job')} still to end)", ""))
    if proposal.held_back:
        held = words.plural(proposal.held_back, "point")
        facts.append(
            ("later", f"{held} over your limit in the queue (MaxSubmitJobs): the same command starts them", "")
        )
    return facts


def _known(proposal: Proposal) -> list[Fact]:
    code = ("code", proposal.code.label, "")
    if proposal.state is None:
        return [("known", "0 points already done", ""), code]
    c = proposal.state.counts
    live, broken = c["running"] + c["waiting"], c["failed"] + c["lost"] + c["damaged"]
    parts = [f"{words.plural(c['done'], 'point')} already done"]
    parts += [f"{live:,} under way"] * bool(live) + [f"{broken:,} failed"] * bool(broken) + [f"{c['new']:,} new"]
    facts = [("known", ", ".join(parts), "; ".join(_changes(proposal)))]
    if len(proposal.chosen) + proposal.held_back < c["new"]:
        facts.append(("chosen", f"{len(proposal.chosen):,} of the {c['new']:,} new points", ""))
    return [*facts, code]


def _changes(proposal: Proposal) -> list[str]:
    if proposal.state is None or not proposal.new_version:
        return []
    from hpc_sweep import grid

    return grid.changes(proposal.state.header["axes"], proposal.grid["axes"])


def _mended(proposal: Proposal) -> list[Fact]:
    """Why the points of a rerun had ended."""
    chosen = set(proposal.chosen)
    points = proposal.state.points if proposal.state else []
    kinds = Counter(outlook.kind_of(p) or "not begun" for p in points if p.point.id in chosen)
    listed = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    return [("ended", listed, ""), ("code", proposal.code.label, "")]


def _dry(proposal: Proposal, scripts: Sequence[str]) -> list[Fact]:
    calls = f"{words.plural(len(scripts), 'sbatch call')}" if scripts else "no Slurm call"
    stop = f"stops when {words.plural(proposal.max_fails, 'point')} fail alike"
    return [("writes", f"{words.plural(proposal.files, 'file')}, {calls}", stop)]


def _nothing(page: Page, proposal: Proposal) -> list[Line]:
    name, state = proposal.sweep.name, proposal.state
    if state is None or proposal.why == "rerun":
        return page.titled(name, "no such point has failed; nothing to run again" if state else "no points to submit")
    c = state.counts
    fine, broken = c["done"] + c["running"] + c["waiting"], c["failed"] + c["lost"] + c["damaged"]
    left = f", {broken:,} failed" if broken else f", {c['new']:,} new and not chosen" if c["new"] else ""
    said = f"{fine:,} of {words.plural(len(state.points), 'point')} done or under way{left}; nothing to submit"
    again = [(f"hpc-sweep rerun {name}", f"runs the {broken:,} again")] if broken else []
    return blocks(page.titled(name, said), page.commands(again))


def question(proposal: Proposal) -> str:
    """What to ask before it is started."""
    price, local_ = proposal.price, proposal.profile.scheduler == "local"
    points, tasks = words.plural(len(proposal.chosen), "point"), words.plural(proposal.tasks, "task")
    cost = f"{words.hours(price.at_most)} {price.unit}-hours"
    if proposal.why == "rerun":
        return f"Run {points} again in {tasks} that may cost up to {cost}?"
    return (
        f"Run {points} on this machine, for up to {cost}?" if local_ else f"Submit {tasks} that may cost up to {cost}?"
    )


def submitted(screen: Screen, proposal: Proposal, claim: Claim) -> None:
    """Say what was started, and where to look."""
    screen.show(submitted_lines(screen.page, proposal.sweep, claim))


def submitted_lines(page: Page, sweep: Sweep, claim: Claim) -> list[Line]:
    submission = sweep.submission(claim.number)
    claimed = page.path(sweep.folder / "submissions" / f"{claim.number:03d}.json")
    rows: list[list[Part]] = [[("✓ claimed", "good"), claimed]]
    taken = [(k, told) for k, told in sorted(submission.jobs.items()) if "job" in told]
    for k, told in taken[:_MOST_ARRAYS]:
        name, what = _started(claim, k, told)
        rows.append([(f"✓ {name}", "good"), what])
    if len(taken) > _MOST_ARRAYS:
        rows.append(["", f"and {words.plural(len(taken) - _MOST_ARRAYS, 'more array')}"])
    refused = [(k, told["refused"]) for k, told in submission.jobs.items() if "refused" in told]
    if refused:
        points = sum(len(s) for k, _ in refused for s in claim.arrays[k].shards)
        rows.append([("✗ slurm", "bad"), f"{words.plural(points, 'point')} not taken now: {refused[0][1]}"])
        rows.append(["", "the same command starts them when there is room"])
    following = [(f"hpc-sweep status {sweep.name}", "")]
    return blocks(page.table([Column(), Column(least=20)], rows, indent=0), page.commands(following))


def _started(claim: Claim, k: int, told: dict[str, Any]) -> tuple[str, str]:
    if claim.cluster == "local":
        at_once = int(told.get("at_once") or 0)
        return "started", words.plural(told["tasks"], "task") + _cap(told["tasks"], at_once or told["tasks"])
    array = claim.arrays[k]
    cap = array.resources.get("at_once")
    last = len(array.shards) - 1
    return "slurm", f"{told['job']}_[{f'0-{last}' if last else '0'}{f'%{cap}' if cap else ''}]"

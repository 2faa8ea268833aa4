"""Cluster profiles: what they may say, which one a host gets, and what a grid may ask of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gridtools import load as load_grid
from gridtools import spot, unmark
from hpc_sweep import cluster
from hpc_sweep.cluster import Identify, Limits, Node, Profile
from hpc_sweep.errors import GridError, InputError, Problem

OURS = Path(__file__).parent.parent / "slurm"


def read(folder: Path, text: str, name: str = "mine") -> Profile:
    (folder / f"{name}.yaml").write_text(text)
    return cluster.load(folder)[name]


def wrong(folder: Path, text: str) -> list[Problem]:
    with pytest.raises(GridError) as caught:
        read(folder, text)
    assert caught.value.path == folder / "mine.yaml"
    return caught.value.problems


# the profiles that we ship


def test_the_profiles_that_we_ship() -> None:
    profiles = cluster.load(OURS)
    assert {"local", "v100", "devcluster"} <= set(profiles)
    assert next(iter(profiles)) == "local"
    assert all(profile.name == name and profile.about for name, profile in profiles.items())


def test_the_v100_profile_is_an_example_to_copy() -> None:
    profile = cluster.load(OURS)["v100"]
    assert profile.node == Node(gpus=4, cpus=40, memory=180.0)
    assert (profile.partition, profile.account, profile.gpu_request) == ("gpu_p13", "abc@v100", "gres")
    assert profile.limits.minutes == 20 * 60 and profile.capability == 7.0 and profile.modules
    text = (OURS / "v100.yaml").read_text()
    keys = set(Profile.model_fields) - {"name", "slots"}
    missing = {key for key in keys if not re.search(rf"^{key}:", text, re.MULTILINE)}
    assert not missing, "the example shows every key"


def test_the_devcluster_profile_fits_its_slurm() -> None:
    profile = cluster.load(OURS)["devcluster"]
    assert profile.identify.cluster_name == "hpcsweep"
    assert (profile.partition, profile.gpu_type, profile.warn_seconds) == ("v100", "v100", 30)
    assert profile.node and profile.node.gpus == 4 and profile.node.cpus == 2
    assert profile.node.memory and profile.node.memory * 1024 <= 5000
    assert profile.file_delay == 0


def test_the_local_profile_asks_for_nothing() -> None:
    profile = cluster.load(OURS)["local"]
    assert profile.scheduler == "local" and profile.slots is None and profile.identify == Identify()


# reading


def test_local_is_there_without_a_folder(tmp_path: Path) -> None:
    assert cluster.load(tmp_path / "none") == {"local": Profile(name="local", scheduler="local")}


def test_a_local_profile_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "local.yaml").write_text("scheduler: local\nslots: 3\n")
    assert cluster.load(tmp_path)["local"].slots == 3


def test_defaults_pass_nothing_to_slurm(tmp_path: Path) -> None:
    profile = read(tmp_path, "scheduler: slurm\n")
    assert (profile.partition, profile.account, profile.qos, profile.gpu_type, profile.node) == (None,) * 5
    assert (profile.modules, profile.setup, profile.extra) == ((), (), {})
    assert (profile.gpu_request, profile.warn_seconds, profile.file_delay) == ("gres", 120, 0.0)
    assert profile.limits == Limits(minutes=None, shards_at_once=None)


def test_setup_may_hold_any_shell(tmp_path: Path) -> None:
    lines = ['source ~/env.sh && export A="$B"', "ulimit -c 0  # no cores"]
    text = "scheduler: slurm\nsetup:\n" + "".join(f"  - '{line}'\n" for line in lines)
    assert list(read(tmp_path, text).setup) == lines


WRONG = {
    "«name»: mine": "a profile has no `name`: it is `mine`, as its file",
    "«partitions»: x": "unknown key `partitions`",
    "scheduler: «pbs»": "`scheduler` cannot be pbs",
    "gpu_request: «gpus»": "`gpu_request` cannot be gpus",
    "partition: «'a b'»": "`partition`: only letters, digits and",
    'partition: «"v100\\n#SBATCH --uid=0"»': "`partition`: only letters, digits and",
    "account: «$(id)»": "`account`: only letters, digits and",
    "qos: «-x»": "`qos`: only letters, digits and",
    "gpu_type: «v100;rm»": "`gpu_type`: only letters, digits and",
    f"partition: «{'x' * 121}»": "`partition`: only letters, digits and",
    "partition: «12»": "`partition` wants text, not 12",
    "modules: [«a b»]": "`modules`: only letters, digits and",
    "modules: «cuda»": "`modules` wants a list, not cuda",
    'setup: [«"a\\nb"»]': "`setup`: one line of shell, please",
    "extra: {constraint: «a b»}": "`extra.constraint`: only letters, digits and",
    "extra: {constraint: «1.5»}": "`extra.constraint` wants true or false or an integer or text, not 1.5",
    "extra: {«--x»: 1}": "`extra.--x`: the long name of an sbatch option",
    'extra: {«"a\\nb"»: 1}': "`extra.a b`: the long name of an sbatch option",
    "extra: {«signal»: 1}": "`extra.signal`: hpc-sweep sets this option itself",
    "extra: {«array»: 0-3}": "`extra.array`: hpc-sweep sets this option itself",
    "node: {gpus: «-1»}": "`node.gpus` wants at least 0, not -1",
    "node: {«ram»: 1}": "unknown key `node.ram`",
    "limits: {minutes: «20:00:00»}": "`limits.minutes` wants an integer, not 20:00:00",
    "limits: {shards_at_once: «0»}": "`limits.shards_at_once` wants at least 1, not 0",
    "warn_seconds: «5»": "`warn_seconds` wants at least 10, not 5",
    "warn_seconds: «70000»": "`warn_seconds` wants at most 65535, not 70000",
    "file_delay: «-1»": "`file_delay` wants at least 0, not -1",
    "slots: «0»": "`slots` wants at least 1, not 0",
    "capability: «sm_70»": "`capability` wants a number, not sm_70",
    "identify: {«hostname»: x}": "unknown key `identify.hostname`",
    "identify: {env: {A: «1»}}": "`identify.env.A` wants text, not 1",
}  # fmt: skip


@pytest.mark.parametrize("marked", WRONG)
def test_what_no_profile_may_say(tmp_path: Path, marked: str) -> None:
    scheduler = "" if marked.startswith("scheduler") else "scheduler: slurm\n"
    text, (place,) = unmark(scheduler + marked + "\n")
    (problem,) = wrong(tmp_path, text)
    assert problem.message.startswith(WRONG[marked]) and spot(problem) == place


def test_all_mistakes_of_a_profile_are_told(tmp_path: Path) -> None:
    text, places = unmark("scheduler: slurm\n«partitions»: x\nnode: {gpus: «a»}\nwarn_seconds: «010»\n")
    assert [spot(p) for p in wrong(tmp_path, text)] == places


def test_a_scheduler_is_needed(tmp_path: Path) -> None:
    assert [p.message for p in wrong(tmp_path, "about: x\n")] == ["`scheduler` is missing"]


def test_a_profile_is_called_by_its_file(tmp_path: Path) -> None:
    assert read(tmp_path, "scheduler: slurm\n", "jean-zay_v100").name == "jean-zay_v100"
    with pytest.raises(InputError, match="called by its file"):
        read(tmp_path, "scheduler: slurm\n", "a b")


# choosing


def profiles(**identify: Identify) -> dict[str, Profile]:
    made = {name: Profile(name=name, scheduler="slurm", identify=known) for name, known in identify.items()}
    return {"local": Profile(name="local", scheduler="local"), **made}


def test_a_name_chooses() -> None:
    made = profiles(a=Identify(host="*"), b=Identify())
    assert cluster.choose(made, "b", {}, "login1").name == "b"
    assert cluster.choose(made, "local", {}, "login1").name == "local"


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(InputError) as caught:
        cluster.choose(profiles(a=Identify()), "v10", {}, "host")
    assert caught.value.message == "there is no cluster profile `v10`"
    assert caught.value.hint == "the profiles in slurm/: local, a" and caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("identify", "environ", "hostname", "cluster_name", "here"),
    [
        (Identify(cluster_name="jz"), {}, "x", "jz", True),
        (Identify(cluster_name="jz"), {}, "x", "JZ", False),
        (Identify(cluster_name="jz"), {}, "x", None, False),
        (Identify(cluster_name="jz"), {"SLURM_CLUSTER_NAME": "jz"}, "x", None, True),
        (Identify(cluster_name="jz"), {"SLURM_CLUSTER_NAME": "jz"}, "x", "other", False),
        (Identify(env={"SITE": "a"}), {"SITE": "a", "B": "c"}, "x", None, True),
        (Identify(env={"SITE": "a", "B": "d"}), {"SITE": "a", "B": "c"}, "x", None, False),
        (Identify(env={"SITE": "a"}), {}, "x", None, False),
        (Identify(host="jz*.example.org"), {}, "jz1.example.org", None, True),
        (Identify(host="jz?"), {}, "jz12", None, False),
        (Identify(slurm_conf="*/etc/slurm.conf"), {"SLURM_CONF": "/a/etc/slurm.conf"}, "x", None, True),
        (Identify(slurm_conf="*"), {}, "x", None, False),
        (Identify(host="a*", cluster_name="b"), {}, "x", "b", True),
        (Identify(), {"SLURM_CLUSTER_NAME": "jz"}, "x", "jz", False),
    ],
)
def test_how_a_host_is_known(
    identify: Identify, environ: dict[str, str], hostname: str, cluster_name: str | None, here: bool
) -> None:
    chosen = cluster.choose(profiles(a=identify), None, environ, hostname, cluster_name)
    assert chosen.name == ("a" if here else "local")


def test_the_first_profile_that_fits_is_taken() -> None:
    made = profiles(a=Identify(host="b*"), b=Identify(host="*"), c=Identify(host="a*"))
    assert cluster.choose(made, None, {}, "abc").name == "b"


# what a grid may ask

V100 = Profile(
    name="v100",
    scheduler="slurm",
    partition="p13",
    node=Node(gpus=4, cpus=40, memory=192.0),
    limits=Limits(minutes=1200),
)
HEAD = "name: x\njob: train\naxes: {model: [s2lif, mart]}\n"

TOO_MUCH = {
    "[{minutes: 1, gpus: «5»}]": "5 GPUs on a node; a node of partition p13 has 4 | take more `nodes` with 4 each",
    "[{minutes: 1, cpus: «41»}]": "41 cores on a node; a node of partition p13 has 40",
    "[{minutes: 1, cpus: «20», tasks_per_node: 4}]": "80 cores (4 tasks × 20) on a node",
    "[{minutes: 1, tasks_per_node: «41»}]": "41 cores (41 tasks × 1) on a node",
    "[{minutes: 1, mem: «193»}]": "193 GB on a node; a node of partition p13 has 192",
    "[{minutes: «1201»}]": "1,201 minutes for one point; a task in partition p13 has at most 1,200",
    "[{minutes: 100, points_per_shard: «13»}]": "13 points × 100 minutes = 1,300; a task "
    "in partition p13 has at most 1,200 | points_per_shard: 12 fits",
    "[{minutes: 100, points_per_shard: 12}, {when: {model: mart}, minutes: «200»}]": None,
    "[{minutes: 1}, {when: {model: mart}, gpus: «8»}]": "8 GPUs on a node",
    "[{minutes: 1, gpus: 8}, {gpus: «16»}]": "16 GPUs on a node",
}  # fmt: skip


@pytest.mark.parametrize("marked", TOO_MUCH)
def test_a_grid_that_asks_too_much(tmp_path: Path, marked: str) -> None:
    expected = TOO_MUCH[marked]
    if expected is None:  # the later rule makes the earlier number too large: both stand in the sentence
        marked, expected = (
            marked.replace("«200»", "200").replace("shard: 12", "shard: «12»"),
            "12 points × 200 minutes = 2,400",
        )
    text, (place,) = unmark(HEAD + f"resources: {marked}\n")
    grid = load_grid(tmp_path, text)
    with pytest.raises(GridError) as caught:
        cluster.check(grid, V100)
    (problem,) = caught.value.problems
    message, _, hint = expected.partition(" | ")
    assert message in problem.message and hint in (problem.hint or "")
    assert spot(problem) == place and caught.value.text == text


def test_all_that_is_too_much_is_told(tmp_path: Path) -> None:
    text, places = unmark(
        HEAD + "resources:\n- {minutes: «5000», gpus: «8», mem: «500»}\n- {when: {model: mart}, cpus: «99»}\n"
    )
    with pytest.raises(GridError) as caught:
        cluster.check(load_grid(tmp_path, text), V100)
    assert [spot(p) for p in caught.value.problems] == places


def test_what_fits_is_well(tmp_path: Path) -> None:
    cluster.check(
        load_grid(tmp_path, HEAD + "resources: [{minutes: 1200, gpus: 4, cpus: 10, tasks_per_node: 4, mem: 192}]\n"),
        V100,
    )
    cluster.check(load_grid(tmp_path, HEAD + "resources: [{minutes: 100, points_per_shard: 12, nodes: 40}]\n"), V100)


def test_what_a_profile_does_not_say_is_not_checked(tmp_path: Path) -> None:
    grid = load_grid(tmp_path, HEAD + "resources: [{minutes: 99999, gpus: 99, cpus: 999, mem: 9999}]\n")
    cluster.check(grid, Profile(name="any", scheduler="slurm"))
    cluster.check(grid, Profile(name="local", scheduler="local"))


def test_a_laptop_is_one_node(tmp_path: Path) -> None:
    text, (place,) = unmark(HEAD + "resources: [{minutes: 1, nodes: «2»}]\n")
    with pytest.raises(GridError) as caught:
        cluster.check(load_grid(tmp_path, text), Profile(name="local", scheduler="local"))
    (problem,) = caught.value.problems
    assert problem.message == "2 nodes, but this machine is one" and spot(problem) == place


def test_a_cluster_without_gpus(tmp_path: Path) -> None:
    grid = load_grid(tmp_path, HEAD + "resources: [{minutes: 1, gpus: 1}]\n")
    with pytest.raises(GridError, match="1 GPUs on a node; a node of profile cpu has 0"):
        cluster.check(grid, Profile(name="cpu", scheduler="slurm", node=Node(cpus=8)))


@pytest.mark.parametrize(
    "text", ["a b", "a\nb", "a;b", "$(x)", "`x`", "-x", "", "é", "a" * 121, "a\x00", "a\n", "'x'", "a|b", "a&b", "x>y"]
)
def test_the_border_lets_no_shell_through(text: str) -> None:
    assert not cluster.SAFE.match(text)


@pytest.mark.parametrize("text", ["gpu_p13", "abc@v100", "cuda/12.6.3", "a,b", "x=y", "a+b", "n1:2", "a" * 120])
def test_the_border_lets_names_through(text: str) -> None:
    assert cluster.SAFE.match(text)

"""A Ray cluster of several nodes on this machine, in a process of its own: `python ray_nodes.py`.

Prints its address; then takes lines `add NAME CPUS` and `remove NAME` (as if its power failed) and answers each with
`done`. Ends with its standard input.
"""

import sys

from ray.cluster_utils import Cluster

SMALL = {"object_store_memory": 80 * 2**20}


def answer(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **SMALL})
    answer(f"address {cluster.address}")
    nodes = {}
    for line in sys.stdin:
        match line.split():
            case ["add", name, cpus]:
                nodes[name] = cluster.add_node(num_cpus=int(cpus), **SMALL)
            case ["remove", name]:
                cluster.remove_node(nodes.pop(name), allow_graceful=False)
        answer("done")
    cluster.shutdown()


if __name__ == "__main__":
    main()

"""Makes this machine a node of the first node's trainings: ``make join`` on every node but the first, in the same clone.

It waits for the trainings of the node that REFUSEU_FIRST_NODE names, and runs this node's part of each, until that node says by
``--end`` that the run is over.
"""

import os

import click

from refuseu.core.environment import enter
from refuseu.core.errors import UserError
from refuseu.core.terminal import tolerate_encodings
from refuseu.dpo.machine import load_training_machine
from refuseu.dpo.nodes import ADDRESS, end, follow


@click.command(help=__doc__)
@click.option("--end", "ends", is_flag=True, help="On the first node: tell the others that the run is over.")
def main(ends: bool) -> None:
    tolerate_encodings()
    nodes, address = load_training_machine().nodes, os.environ.get(ADDRESS)
    if ends:
        end(nodes - 1)
    elif nodes == 1:
        raise UserError(
            "training.nodes in machines/ is 1, so nobody is waited for; name the first node's REFUSEU_MACHINE"
        )
    elif not address:
        raise UserError(
            f"the environment variable {ADDRESS} must name the first node, as in: {ADDRESS}=node1 make join"
        )
    else:
        follow(address)


if __name__ == "__main__":
    enter("refuseu.join")
    main()

"""What people look at: ``draw`` or ``score``, and what of."""

import click

from refuseu.audit import answers, corrections, disagreements, sample, score


@click.group()
def main() -> None:
    """Draw what people are to judge, or score what they judged."""


for name, commands in {
    "draw": {"pairs": sample.main, "answers": answers.main, "disagreements": disagreements.main},
    "score": {"pairs": score.main, "answers": corrections.main},
}.items():
    main.add_command(click.Group(name, commands=commands))

if __name__ == "__main__":
    main()

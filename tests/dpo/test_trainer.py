from refuseu.dpo.trainer import row_order


def test_each_round_has_every_row_once_in_another_order() -> None:
    order = row_order(5, 12, 1)
    assert len(order) == 12
    assert sorted(order[:5]) == sorted(order[5:10]) == [0, 1, 2, 3, 4]
    assert order[:5] != order[5:10]
    assert len(set(order[10:])) == 2


def test_the_order_follows_from_the_seed_alone() -> None:
    assert row_order(100, 150, 1) == row_order(100, 150, 1)
    assert row_order(100, 50, 1) == row_order(100, 150, 1)[:50]
    assert row_order(100, 50, 2) != row_order(100, 50, 1)

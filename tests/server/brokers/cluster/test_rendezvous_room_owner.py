from collections import Counter

from rtlab.server.brokers.cluster.rendezvous_room_owner import owner_of


def test_only_the_rooms_that_a_new_node_gains_change_their_owner() -> None:
    rooms = [f"room {n}" for n in range(2000)]
    before = {room: owner_of(room, ["a", "b", "c"]) for room in rooms}
    after = {room: owner_of(room, ["d", "c", "b", "a"]) for room in rooms}
    moved = [room for room in rooms if before[room] != after[room]]
    assert {after[room] for room in moved} == {"d"}
    # 1/4 of 2000, and three standard deviations of a binomial.
    assert abs(len(moved) - 500) <= 3 * (2000 * 0.25 * 0.75) ** 0.5
    assert min(Counter(before.values()).values()) > 580


def test_nobody_owns_a_room_of_no_nodes() -> None:
    assert owner_of("lobby", []) is None

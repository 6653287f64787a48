from rtlab.protocol.message_format import Message
from rtlab.server.brokers.cluster.room_sequencer import RoomSequencer, new_epoch, term_of
from rtlab.server.brokers.room_publishing_interface import BrokerFailed, Published


def numbered(seq: int, ident: str) -> Message:
    return Message("chat", id=ident, client_id="ada", stream="out", seq=seq)


def test_a_repeat_has_the_place_of_the_first_before_and_after_its_answer() -> None:
    claim = RoomSequencer("e")
    answers: list[object] = []
    assert claim.add(numbered(1, "x"), answers.append)
    assert not claim.add(numbered(1, "x"), answers.append)
    assert answers == []
    claim.came_back(1)
    assert answers == [Published("e", 1)] * 2
    assert not claim.add(numbered(1, "x"), answers.append)
    assert answers == [Published("e", 1)] * 3
    assert claim.add(numbered(2, "y"), answers.append)
    assert (claim.offset, claim.delivered, claim.waiting) == (2, 1, 1)


def test_what_no_outbox_numbers_is_never_a_repeat() -> None:
    claim = RoomSequencer("e")
    assert all(claim.add(Message("chat", id="x", client_id="ada"), lambda _: None) for _ in range(2))


def test_who_waits_is_told_that_nobody_knows() -> None:
    claim, answers = RoomSequencer("e"), list[object]()
    claim.add(Message("chat"), answers.append)
    claim.give_up("the node stops")
    (failed,) = answers
    assert isinstance(failed, BrokerFailed)
    assert "may have been published" in str(failed)


def test_terms_order_epochs_as_text() -> None:
    epochs = [new_epoch(term) for term in (1, 2, 15, 16, 300, 70_000)]
    assert epochs == sorted(epochs)
    assert [term_of(epoch) for epoch in epochs] == [1, 2, 15, 16, 300, 70_000]
    assert term_of("of another kind") == 0

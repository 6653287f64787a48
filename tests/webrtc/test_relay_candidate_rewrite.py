"""An offer and its answer, prepared for a relay."""

from __future__ import annotations

from rtlab.webrtc.relay_candidate_rewrite import through_relay

OFFER = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
HERE = "a=candidate:1 1 udp 2130706431 127.0.0.1 5000 typ host\r\n"


async def test_without_a_relay_both_descriptions_stay_as_they_are() -> None:
    sdp, reroute = through_relay(OFFER + HERE, None)
    assert (sdp, await reroute(OFFER + HERE)) == (OFFER + HERE, OFFER + HERE)


async def test_with_a_relay_the_offer_hides_our_port_and_the_answer_names_the_relays() -> None:
    asked: list[int] = []

    async def relay(port: int) -> int:
        asked.append(port)
        return 6000

    sdp, reroute = through_relay(OFFER + HERE, relay)
    assert sdp == OFFER
    assert await reroute(OFFER + HERE) == OFFER + HERE.replace("5000", "6000")
    assert asked == [5000]

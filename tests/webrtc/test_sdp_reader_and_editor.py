"""Descriptions are cut down to loopback, and their limits are read as the standard says."""

from __future__ import annotations

import pytest

from rtlab.webrtc.sdp_reader_and_editor import (
    candidate_ports,
    check_association,
    check_message_limit,
    keep_loopback,
    max_message_bytes,
    without_candidates,
)

HERE = "a=candidate:1 1 udp 2130706431 127.0.0.1 5000 typ host\r\n"
OTHERS = (
    "a=candidate:2 1 udp 2130706431 192.0.2.2 5001 typ host\r\n"
    "a=candidate:3 1 udp 2130706431 ::1 5002 typ host\r\n"
    "a=candidate:4 1 udp 2113937151 7d7fbb18-c284-4cdd-af92-c5af441839bd.local 5003 typ host\r\n"
    "a=candidate:5 1 tcp 1518280447 127.0.0.1 9 typ host tcptype active\r\n"
    "a=candidate:6 1 udp 1 203.0.113.1 5004 typ srflx raddr 127.0.0.1 rport 5000\r\n"
    "a=candidate:nonsense\r\n"
    "a=candidate:7 1 udp 1 127.0.0.1 0 typ host\r\n"
    "a=candidate:8 1 udp 1 127.0.0.1 65536 typ host\r\n"
    "a=candidate:9 1 udp 1 127.0.0.1 99999 typ host\r\n"
)
HEAD = "v=0\r\ns=-\r\n"
SECTION = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n"
END = "a=end-of-candidates\r\n"


def test_other_candidates_are_dropped() -> None:
    assert keep_loopback(HEAD + SECTION + OTHERS + HERE + END) == HEAD + SECTION + HERE + END


def test_a_section_without_candidates_keeps_waiting_for_checks() -> None:
    first = SECTION + OTHERS + END
    second = SECTION + HERE + END
    assert keep_loopback(HEAD + first + second) == HEAD + SECTION + second


def test_a_description_without_candidates_is_left_alone() -> None:
    assert keep_loopback(HEAD + SECTION) == HEAD + SECTION
    assert keep_loopback("") == ""


def test_all_candidates_can_be_dropped() -> None:
    assert without_candidates(HEAD + SECTION + HERE + OTHERS + END) == HEAD + SECTION


def test_only_loopback_ports_are_found_and_replaced() -> None:
    ports, same = candidate_ports(SECTION + HERE + OTHERS)
    assert (ports, same) == ([5000], SECTION + HERE + OTHERS)
    _, changed = candidate_ports(SECTION + HERE + OTHERS, {5000: 6000, 5001: 1})
    assert changed == SECTION + HERE.replace("5000", "6000") + OTHERS


@pytest.mark.parametrize(
    ("line", "limit"),
    [("a=max-message-size:262144\r\n", 262_144), ("a=max-message-size:0\r\n", None), ("", 65_536)],
)
def test_the_message_limit_is_read_as_rfc_8841_says(line: str, limit: int | None) -> None:
    assert max_message_bytes(SECTION + line) == limit


def test_the_limit_of_the_channels_own_section_counts() -> None:
    audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=max-message-size:5\r\n"
    assert max_message_bytes(audio + SECTION + "a=max-message-size:70000\r\n" + audio) == 70_000


@pytest.mark.parametrize("text", ["-1", "abc", "", "+5", "1e3", "\u0663", "9 9"])
def test_a_limit_that_is_no_number_counts_as_none_given(text: str) -> None:
    sdp = SECTION + f"a=max-message-size:{text}\r\n" + HERE
    assert check_message_limit(sdp) == SECTION + HERE
    assert max_message_bytes(check_message_limit(sdp)) == 65_536


@pytest.mark.parametrize("text", ["0", "1024", "262144", "262144 ", "9" * 30])
def test_a_sound_limit_stays(text: str) -> None:
    sdp = SECTION + f"a=max-message-size:{text}\r\n" + HERE
    assert check_message_limit(sdp) == sdp


def test_a_limit_below_which_nothing_works_is_refused() -> None:
    with pytest.raises(ValueError, match="got a=max-message-size:10"):
        check_message_limit(SECTION + "a=max-message-size:10\r\n")


PRINT = "a=fingerprint:sha-256 AB:CD\r\n"
PORT = "a=sctp-port:5000\r\n"
OLD = "m=application 9 DTLS/SCTP {}\r\na=sctpmap:5000 webrtc-datachannel 65535\r\n"
AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"


@pytest.mark.parametrize(
    "sdp",
    [
        HEAD + SECTION + PRINT + PORT,
        HEAD + PRINT + SECTION + PORT,
        HEAD + PRINT + AUDIO + SECTION + PORT,
        HEAD + PRINT + SECTION + "a=sctp-port: 65535 \r\n",
        HEAD + PRINT + OLD.format(5000),
        HEAD + AUDIO.replace("9", "0", 1) + SECTION + PRINT + PORT,  # a refused section needs none
        HEAD + AUDIO + PRINT,
    ],
)
def test_a_description_from_which_an_association_can_begin(sdp: str) -> None:
    check_association(sdp)


@pytest.mark.parametrize(
    ("sdp", "words"),
    [
        (HEAD + SECTION + PORT, "a=fingerprint"),
        (HEAD + AUDIO + SECTION + PRINT + PORT, "a=fingerprint"),
        (HEAD + PRINT + SECTION, "a=sctp-port"),
        *(
            (HEAD + PRINT + SECTION + f"a=sctp-port:{port}\r\n", "sctp-port")
            for port in ("0", "-1", "99999", "x", "")
        ),
        *((HEAD + PRINT + OLD.format(port), "sctp-port") for port in ("0", "99999", "x")),
    ],
)
def test_a_description_without_what_dtls_and_sctp_need_is_refused(sdp: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_association(sdp)

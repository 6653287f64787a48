"""What is shown of a text that has secrets in it."""

from __future__ import annotations

import pytest

from rtlab.protocol.redaction import redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:p@h/x", "https://***@h/x"),
        ("https://u:p/w@h/x", "https://u:p/w@h/x"),  # RFC 3986: the host ended at the slash
        ("GET /sse?access_token=a.b.c&x=1", "GET /sse?access_token=***&x=1"),
        (
            "?apiKey=1&api_key=2&api-key=3&X-Amz-Signature=4",
            "?apiKey=***&api_key=***&api-key=***&X-Amz-Signature=***",
        ),
        ("(http://h/?ticket=t)", "(http://h/?ticket=***)"),
        ("?sig=a/b==&stream", "?sig=***&stream"),
        ("?room=token", "?room=token"),
        ("?pass=a&user_pass=b&pass[]=c&passenger=3", "?pass=***&user_pass=***&pass[]=***&passenger=3"),
        ("?token[]=a&token%5B%5D=b&%74oken=c", "?token[]=***&token%5B%5D=***&%74oken=***"),
        ("?a;token=b", "?a;token=***"),
        ("http://h/#access_token=a&state=b", "http://h/#access_token=***&state=b"),
        ("(http://h/?token=a,b);c), why", "(http://h/?token=***), why"),
        ("ws://h/?next=https://app/cb?token=abc", "ws://h/?next=https://app/cb?token=***"),
        ("tried ws://h/?room=a,ws://h2/?token=abc", "tried ws://h/?room=a,ws://h2/?token=***"),
        ("?a=1;token=abc&b", "?a=1;token=***&b"),
        ("?token=a?sig=b&c=d", "?token=***&c=d"),
        ('{"accessToken": "a.b", "room": "r"}', '{"accessToken": "***", "room": "r"}'),
        ("""{"password": "don't", "a": 1}""", """{"password": "***", "a": 1}"""),
        (r"""{"token": "a\"s3cret", "b": "c"}""", """{"token": "***", "b": "c"}"""),
        (r"""{'pwd': 'a\'"b\\'}""", "{'pwd': '***'}"),
        ("""{'body': '{"token": "abc"}'}""", """{'body': '{"token": "***"}'}"""),
        ('{"url": "ws://h/?token=a", "n": 1}', '{"url": "ws://h/?token=***", "n": 1}'),
        (
            "ws://h/?next=https%3A%2F%2Fapp%2Fcb%3Ftoken%3Dabc",
            "ws://h/?next=https%3A%2F%2Fapp%2Fcb%3Ftoken%3D***",
        ),
        (
            "?next=%2fcb%3fa%3d1%26token%3da%2526b%26c%3d2&n=1",
            "?next=%2fcb%3fa%3d1%26token%3d***%26c%3d2&n=1",
        ),
        ("?next=%2Fcb%23token=abc%26c=2&n=1", "?next=%2Fcb%23token=***%26c=2&n=1"),
        ("?next=%2Fcb%3Froom%3Dtoken%26n%3D1", "?next=%2Fcb%3Froom%3Dtoken%26n%3D1"),
        (
            "?token=a%26b%3Dc&n=1",
            "?token=***&n=1",
        ),  # no nested URL, but a value with `&` in it
        ("?user%3Dtoken=abc", "?user%3Dtoken=***"),
        ("?a%3Dtoken=abc&b", "?a%3Dtoken=***&b"),
        ("?a%3db%3Dto%6ben=abc", "?a%3db%3Dto%6ben=***"),
        ("?token%3Ds3cret=&a=1", "?token%3D***&a=1"),
        ("?token=s3'cret&a=1", "?token=***&a=1"),
        ("?password=a':s3cret&a=1", "?password=***&a=1"),
        ("?password=a'.s3cret&a=1", "?password=***&a=1"),
        ("?token=a,'b'", "?token=***,'b'"),
        ("?password=a').:s3cret&a=1", "?password=***&a=1"),
        ("('?token=a').", "('?token=***')."),
        ("{'?token=a':'b'}", "{'?token=***':'b'}"),
        ("?token='s3cret'&a=1", "?token=***&a=1"),
        (r"?token=a,\b;\c&n=1", "?token=***&n=1"),
        ("no 'ws://h/?token=a', 'b' or 'c'", "no 'ws://h/?token=***', 'b' or 'c'"),
        ("{'a':'?token=a','b':['?token=b']}", "{'a':'?token=***','b':['?token=***']}"),
        (r"""'{\'a\': \'?token=a\', "b": 1}'""", r"""'{\'a\': \'?token=***\', "b": 1}'"""),
        (r"?token=s3\cret\\&a=1", "?token=***&a=1"),
        (r'{"body": "{\"token\": \"abc\"}"}', r'{"body": "{\"token\": \"***\"}"}'),
        (r'{"body": "{\"pwd\": \"a\\\"b\\n\\\\\", \"n\": 1}"}', r'{"body": "{\"pwd\": \"***\", \"n\": 1}"}'),
        (r'{"body": "{\"room\": \"token\"}", "n": 1}', r'{"body": "{\"room\": \"token\"}", "n": 1}'),
        (r'{"body": "{\"token\": \"cut", "n": 1}', r'{"body": "{\"token\": \"***", "n": 1}'),
        (r'{"body": "{\"url\": \"/?token=a\"}"}', r'{"body": "{\"url\": \"/?token=***\"}"}'),
        (r"""'{\'pwd\': \'abc\', "n": 1}'""", r"""'{\'pwd\': \'***\', "n": 1}'"""),
        (r'"{\"Authorization\": \"Bearer abc\"}"', r'"{\"Authorization\": \"Bearer ***\"}"'),
        ("> Authorization: Bearer a.b-c_d=", "> Authorization: Bearer ***"),
        ("{'authorization': 'Basic bWU6cHc='}", "{'authorization': 'Basic ***'}"),
        ("it said eyJhbGciOi.eyJzdWIi.c2ln, no", "it said ***, no"),
        ("mail me@example.org", "mail me@example.org"),
    ],
)
def test_redacted(text: str, shown: str) -> None:
    assert redacted(text) == shown

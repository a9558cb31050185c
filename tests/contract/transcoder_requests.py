"""Requests that go through our transcoder and through Envoy's, grouped by what is known about the two answers."""

from __future__ import annotations

from dataclasses import dataclass

JSON = (("content-type", "application/json"),)


@dataclass(frozen=True)
class Request:
    """One HTTP request; `target` is percent-encoded as it is sent."""

    method: str
    target: str
    body: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.target} {(self.body or '')[:60]}".strip()


def get(*targets: str) -> list[Request]:
    return [Request("GET", target) for target in targets]


def queries(*parameters: str) -> list[Request]:
    return [Request("GET", f"/v1/everything:query?{text}") for text in parameters]


def bodies(*texts: str, method: str = "POST", target: str = "/v1/everything") -> list[Request]:
    return [Request(method, target, text, JSON) for text in texts]


def deep(levels: int) -> str:
    return '{"part":' + '{"inner":' * levels + "{}" + "}" * levels + "}"


EQUAL = [
    *queries(
        "", "int32Value=5", "int32_value=-5", "int64Value=9223372036854775807", "uint64Value=18446744073709551615",
        "doubleValue=1.5", "doubleValue=NaN", "doubleValue=-Infinity", "boolValue=true", "boolValue=1", "boolValue=T",
        "boolValue=false", "stringValue=NSE:NIFTY%2050", "stringValue=", "stringValue=a%2Fb", "stringValue=a%2Bb",
        "bytesValue=AQID", "bytesValue=_-8", "bytesValue=%2B%2F8%3D", "colour=COLOUR_RED", "colour=2", "colour=-1",
        "part.name=x", "part.inner.size=7", "part.inner.inner.labels=a&part.inner.inner.labels=b", "optionalInt32=0",
        "optionalString=", "optionalBool=false", "choiceText=a", "choicePart.name=x", "numbers=1&numbers=2",
        "bigNumbers=1", "doubles=1.5&doubles=2", "texts=a&texts=", "flags=true&flags=false", "blobs=AQID",
        "colours=COLOUR_RED&colours=2", "times=2024-01-01T00:00:00Z&times=2024-01-01T00:00:00.5Z",
        "timestamp=2024-01-01T00:00:00Z", "timestamp=2024-01-01T05:30:00%2B05:30",
        "timestamp=2024-01-01T05:30:00+05:30", "timestamp=2024-01-01T00:00:00.123456789Z",
        "timestamp=2024-01-01T00:00:00.12Z", "duration=1.5s", "duration=-1s", "fieldMask=stringValue,part.name",
        "fieldMask=string_value", "doubleWrapper=1.5", "int64Wrapper=5", "boolWrapper=true", "stringWrapper=x",
        "bytesWrapper=AQID", "renamed_value=x", "anotherName=x", "line2Text=x", "line_2_text=x", "oldValue=x",
        "&&int32Value=1&",
    ),
    *bodies(
        "{}", "", '{"int64Value":"5"}', '{"int64Value":5}', '{"int64Value":5.0}', '{"int32Value":"12"}',
        '{"doubleValue":"1.5"}', '{"doubleValue":"NaN"}', '{"boolValue":true}', '{"stringValue":null}',
        '{"stringValue":"\\ud83d\\ude00"}', '{"bytesValue":"AQID"}', '{"bytesValue":"-_8"}', '{"colour":"COLOUR_RED"}',
        '{"colour":2}', '{"part":{"name":"a","inner":{"size":"3"}}}', '{"part":null}', '{"numbers":[1,"2"]}',
        '{"numbers":null}', '{"parts":[{"name":"a"},{}]}', '{"textByText":{"a":"b"}}', '{"numberByNumber":{"1":"2"}}',
        '{"textByFlag":{"true":"a"}}', '{"partByText":{"a":{"name":"x"}}}', '{"colourByText":{"a":"COLOUR_RED"}}',
        '{"timestamp":"2024-01-01T00:00:00Z"}', '{"duration":"1.5s"}', '{"fieldMask":"stringValue,part.name"}',
        '{"struct":{"a":[1,"x",null,{"b":true}]}}', '{"value":5}', '{"value":null}', '{"value":{"a":1}}',
        '{"listValue":[1,2]}', '{"any":{"@type":"type.googleapis.com/everything.v1.Part","name":"x"}}', '{"empty":{}}',
        '{"doubleWrapper":1.5,"int64Wrapper":"5","boolWrapper":false,"stringWrapper":"","bytesWrapper":"AQ=="}',
        '{"int64Wrapper":null}', '{"optionalInt32":0,"optionalString":""}', '{"choiceText":"a"}', '{"choiceNull":null}',
        '{"int32_value":5}', '{"anotherName":"x"}', '{"renamed_value":"x"}', '{"line2Text":"x"}', deep(20),
    ),
    Request("POST", "/v1/everything", "{}", (("content-type", "application/json; charset=utf-8"),)),
    Request("POST", "/v1/everything", "{}"),
    *bodies('{"int32Value":1}', '{"stringValue":"abc"}', "", method="PUT", target="/v1/everything/abc"),
    *get("/v1/everything/by-number/7", "/v1/everything/by-number/7?stringValue=a"),
    *bodies('{"name":"a"}', method="PATCH", target="/v1/segments/s/part?updateMask=name"),
    *bodies('{"name":"a"}', method="PATCH", target="/v1/segments/s/part?update_mask=name,inner.size"),
    *bodies("{}", method="PATCH", target="/v1/segments/s/part"),
    *get(*(f"/v1/segments/{segment}" for segment in (
        "abc", "NSE:RELIANCE", "NSE:NIFTY%2050", "NSE%3ANIFTY%2050", "a%2Fb", "a%2fb", "NSE:NIFTY:inspect",
        "a:b:inspect", "x:inspect", "x%3Ainspect", "x:unknown", "a;b=c", "a,b", "a@b", "caf%C3%A9", "~a.b-c_d", "a+b",
    ))),
    *bodies('{"int32Value":1}', method="PUT", target="/v1/segments/s"),
    Request("DELETE", "/v1/segments/s"),
    *bodies('{"int32Value":1}', method="DELETE", target="/v1/segments/s"),
    Request("GET", "/v1/segments/s", '{"a":1}', JSON),
    Request("REPORT", "/v1/segments/s"),
    *get(
        "/v1/integers/1/2/3/4/-5/-6", "/v1/fixed/1/2/-3/-4", "/v1/others/true/1.5/2.5/AQID/COLOUR_RED",
        "/v1/others/true/1.5/2.5/AQID/2", "/v1/nested/a/5", "/v1/nested/a/5?part.labels=x", "/v1/shelves/1/books/2",
        "/v1/shelves/1%2F3/books/2%20a", "/v1/literal/value", "/v1/files/a/b/c", "/v1/files/", "/v1/files",
        "/v1/files/a%2Fb/c%20d", "/v1/files/a//b", "/v1/archive/x:open", "/v1/archive/x/y/z:open",
        "/v1/any/x/of/y/z", "/v1/any/x/of", "/v1/any/x/of/y:z",
        *(f"/v1/failures/{code}?message=oops" for code in range(17)), "/v1/failures/5?message=caf%C3%A9",
        "/v1/everything:stream?count=3&part.name=a", "/v1/everything:stream?count=0",
    ),
    *bodies('{"count":2}', target="/v1/everything:streamBody"),
]  # fmt: skip
"""Both give the same status and the same JSON."""

REFUSED_ALIKE = [
    *queries(
        "int64Value=9223372036854775808", "int32Value=abc", "int32Value=", "int32Value=1.0", "int32Value=1e3",
        "int32Value=0x10", "int32Value=%205", "uint32Value=-1", "doubleValue=1e400", "floatValue=1e39", "boolValue=",
        "bytesValue=***", "colour=99", "colour=PURPLE", "colour=colour_red", "part=x", "part.nope=1",
        "choiceText=a&choiceNumber=1", "choiceNumber=1&choicePart.name=x", "numbers=1,2", "parts=x", "textByText.a=b",
        "timestamp=2024-01-01", "timestamp=1704067200", "duration=90m", "struct.a=1", "any=1", "empty=1",
        "uint32Wrapper=-1", "renamedValue=x", "nope=1", "int32Value=1;int64Value=2",
    ),
    *bodies(
        '{"int64Value":5.5}', '{"int32Value":2147483648}', '{"uint32Value":-1}', '{"doubleValue":"x"}',
        '{"boolValue":1}', '{"stringValue":5}',
        '{"stringValue":"\\ud83d"}', '{"bytesValue":"!"}', '{"colour":"NOPE"}', '{"part":[]}',
        '{"numberByNumber":{"x":"2"}}', '{"timestamp":"x"}', '{"timestamp":"0000-01-01T00:00:00Z"}',
        '{"duration":"1.5"}', '{"any":{"@type":"type.googleapis.com/nope","name":"x"}}',
        '{"choiceText":"a","choiceNumber":1}', "[]", '"x"', "5", "{", '{"a"', '{"int32Value":01}', '{"int32Value":NaN}',
        "\ufeff{}", '{"int32Value":1} x', deep(200),
    ),
    *get(
        "/v1/everything/by-number/x", "/v1/everything/by-number/", "/v1/segments/", "/v1/segments/a/b",
        "/v1/integers/1/2/3/4/-5/x", "/v1/others/true/1.5/2.5/AQID/NOPE", "/v1/literal/other", "/v1/archive/x/y",
        "/nope",
    ),
    *bodies("5", target="/v1/everything/text"),
]  # fmt: skip
"""Both refuse with the same HTTP status: Envoy in plain text, we in a google.rpc.Status that names the field."""

DIFFERENT: dict[str, list[Request]] = {
    "wrong-method": [
        Request("POST", "/v1/everything:query"),
        Request("HEAD", "/v1/everything:stream"),
        Request("OPTIONS", "/v1/everything:query"),
        *bodies("{}", target="/v1/segments/s"),
        *bodies("{}", method="PUT", target="/v1/segments/s:inspect"),
        *get("/v1/everything"),
    ],
    "head": [Request("HEAD", "/v1/everything:query")],
    "unknown-body-field": bodies('{"nope":1}', '{"part":{"nope":1}}', '{"renamedValue":"x"}'),
    "query-overrides": [
        *get("/v1/everything/by-number/7?int64Value=8", "/v1/nested/a/5?part.name=x"),
        *bodies("{}", target="/v1/everything/k/part?stringValue=z"),
        *bodies('{"name":"a"}', target="/v1/everything/k/part?part.size=9"),
    ],
    "query-beside-body": bodies('{"int64Value":"2"}', target="/v1/everything?int32Value=1"),
    "path-against-body": bodies('{"stringValue":"other"}', method="PUT", target="/v1/everything/abc"),
    "given-twice": queries("int32Value=1&int32Value=2", "stringValue=a&stringValue=b"),
    "plus": queries("stringValue=a+b", "int32Value=+5"),
    "map-parameter": queries("textByText[a]=b", "numberByNumber[1]=2"),
    "odd-parameter": queries("parts.name=x", "timestamp.seconds=1", "value=1", "=x"),
    "cache-buster": queries("_=123"),
    "yes": get("/v1/others/yes/1.5/2.5/AQID/COLOUR_RED"),
    "broken-utf-8": [*queries("stringValue=%ff"), *get("/v1/segments/%ff")],
    "float": queries("floatValue=1.1"),
    "lenient-json": bodies(
        '{"boolValue":"true"}',
        '{"colour":1.0}',
        '{"numbers":1}',
        '{"numbers":[null]}',
        '{"int32Value":1,}',
        "{'int32Value':1}",
        '{"fieldMask":"string_value"}',
    ),
    "single-as-list": bodies("{}", target="/v1/everything/parts"),
    "media-type": [
        Request("POST", "/v1/everything", "{}", (("content-type", "text/plain"),)),
        Request("POST", "/v1/everything", "{}", (("content-type", "application/json; charset=latin-1"),)),
    ],
    "response-body": [
        *bodies('{"name":"a","size":"5"}', "", target="/v1/everything/k/part"),
        *bodies('{"name":"a"}', target="/v1/everything/k/part?int32Value=3"),
        *bodies('[{"name":"a"},{}]', "[]", target="/v1/everything/parts"),
        *bodies('"hello"', '""', target="/v1/everything/text"),
    ],
    "derived-mask": bodies('{"name":"a","inner":{"size":"3"}}', method="PATCH", target="/v1/segments/s/part"),
    "empty-segment": get("/v1/segments/:inspect", "/v1/segments/abc/"),
    "unknown-detail": get("/v1/failures/3?message=oops&detailed=true"),
    "early-stream-error": get("/v1/everything:stream?count=3&failCode=9&failAfter=0"),
    "late-stream-error": get("/v1/everything:stream?count=3&failCode=9&failAfter=2"),
}
"""Where the two part, by the name of the difference in docs/transcoding.md."""

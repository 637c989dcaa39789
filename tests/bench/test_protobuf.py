from __future__ import annotations

from tests.bench import protobuf

LONG = "x" * 300


def message(number: int, content: bytes) -> bytes:
    """Return a field with a length of any size."""
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + content


def pod(kind: bytes, *annotations: tuple[str, str]) -> bytes:
    entries = b"".join(
        message(12, message(1, key.encode()) + message(2, value.encode()))
        for key, value in annotations
    )
    number, eight, four = b"\x08\x96\x01", b"\x11" + bytes(8), b"\x1d" + bytes(4)
    metadata = message(1, number + message(1, b"web") + eight + four + entries)
    return message(1, message(1, b"v1") + message(2, kind)) + message(2, metadata)


def test_annotations_of_a_pod_are_read_past_all_kinds_of_fields() -> None:
    written = pod(b"Pod", ("a", "one"), ("b", LONG))
    assert protobuf.annotations_of_pod(written) == {"a": "one", "b": LONG}


def test_other_objects_have_none() -> None:
    assert protobuf.annotations_of_pod(pod(b"Event", ("a", "one"))) == {}

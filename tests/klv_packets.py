"""MISB ST 0601 packets, written tag by tag."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.klv import TAGS, UAS_LOCAL_SET

BY_NAME = {number.name: tag for tag, number in TAGS.items()}


def oid(tag: int) -> bytes:
    """A tag as BER-OID."""
    return bytes([tag]) if tag < 0x80 else bytes([0x80 | tag >> 7, tag & 0x7F])


def length(size: int) -> bytes:
    """A length as BER, short where it fits."""
    return bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")


def item(tag: int, value: bytes) -> bytes:
    """One tag with its value."""
    return oid(tag) + length(len(value)) + value


def value_of(name: str, number: float) -> bytes:
    """The integer nearest to a number."""
    kind = TAGS[BY_NAME[name]]
    bits = 8 * kind.num_bytes
    if kind.signed:
        return round(number / kind.high * ((1 << bits - 1) - 1)).to_bytes(kind.num_bytes, "big", signed=True)
    return round((number - kind.low) / (kind.high - kind.low) * ((1 << bits) - 1)).to_bytes(kind.num_bytes, "big")


def packet(numbers: Mapping[str, float], *, before: bytes = b"", behind: bytes = b"", checksum: int | None = None) -> bytes:
    """A packet with a right checksum, or another one."""
    items = before + b"".join(item(BY_NAME[name], value_of(name, number)) for name, number in numbers.items()) + behind
    summed = UAS_LOCAL_SET + length(len(items) + 4) + items + b"\x01\x02"
    words = [int.from_bytes(summed[index : index + 2].ljust(2, b"\0"), "big") for index in range(0, len(summed), 2)]
    return summed + (sum(words) % 2**16 if checksum is None else checksum).to_bytes(2, "big")

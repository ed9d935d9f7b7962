"""JSON Schema of frame message v1, made from the same words and limits that the parser uses.

A schema knows no upper and lower case, so it describes a message as a producer should write it: names and values of the
contract's headers in lower case. `docs/frame-message.schema.json` is this function's output (a test compares them).
"""

from __future__ import annotations

from contracts.frame import EVENT_TYPE, Band, ContentType, Platform
from contracts.headers import BIT_DEPTHS, MAX_FRAME_NUMBER, MAX_SIDE_PX, SPEC_VERSION
from contracts.nodata import MAX_NODATA, NODATA_PATTERN
from contracts.words import DTYPE_WORDS

_RFC3339_PATTERN = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,12})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
_RAW_HEADERS = ("ir_width", "ir_height", "ir_dtype")


def frame_message_schema() -> dict[str, object]:
    """The schema (draft 2020-12) of `{"key": ..., "headers": {name: value}}`; the value of the message is the image."""
    headers = {
        "ce_specversion": {"const": SPEC_VERSION, "description": "CloudEvents version"},
        "ce_type": {"const": EVENT_TYPE, "description": "this contract and its version"},
        "ce_id": {"type": "string", "description": "id of the frame; missing: topic/partition/offset"},
        "ce_source": {"type": "string", "description": "URI reference of the producer; kept in the row's headers"},
        "ce_time": {
            "type": "string",
            "format": "date-time",
            "pattern": _RFC3339_PATTERN,
            "description": "capture time with zone, 1970 to 2199, kept to the microsecond; missing: Kafka's timestamp",
        },
        "content-type": {
            "type": "string",
            "pattern": f"^({'|'.join(kind.replace('.', '[.]') for kind in ContentType)})[ ]*(;.*)?$",
            "description": "codec of the value; missing: by its file signature",
        },
        "ir_platform": {"enum": list(Platform), "description": "where the camera is; missing: unknown"},
        "ir_band": {"enum": list(Band), "description": "spectral band; missing: unknown"},
        "ir_frame": {
            "type": "string",
            "pattern": "^[0-9]{1,19}$",
            "description": f"sequence number of the sensor, 0 to {MAX_FRAME_NUMBER}",
        },
        "ir_bit_depth": {"enum": [str(bits) for bits in BIT_DEPTHS], "description": "significant bits of a count; 32 for float32"},
        "ir_width": {"type": "string", "pattern": "^0*[1-9][0-9]{0,9}$", "description": f"columns, 1 to {MAX_SIDE_PX}"},
        "ir_height": {"type": "string", "pattern": "^0*[1-9][0-9]{0,9}$", "description": f"rows, 1 to {MAX_SIDE_PX}"},
        "ir_dtype": {"enum": list(dict.fromkeys(DTYPE_WORDS.values())), "description": "type of a count, little endian"},
        "ir_klv": {
            "type": "string",
            "pattern": "^[A-Za-z0-9+/_-]+=*$",
            "description": "a MISB ST 0601 packet as base64 (its bytes as they are will do, too); missing: no places",
        },
        "ir_nodata": {
            "type": "string",
            "pattern": f"^[ ]*{NODATA_PATTERN}[ ]*(,[ ]*{NODATA_PATTERN}[ ]*){{0,{MAX_NODATA - 1}}}$",
            "description": "values that are no measurement: a number, nan or inf, several with commas between",
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "irstream frame message, version 1",
        "description": "Key and headers of a Kafka message in CloudEvents binary mode, as text; its value is one encoded image.",
        "type": "object",
        "required": ["key", "headers"],
        "properties": {
            "key": {"type": "string", "pattern": r"\S", "description": "id of the sensor, UTF-8"},
            "headers": {
                "type": "object",
                "properties": headers,
                "additionalProperties": {"type": "string", "description": "kept in the row"},
                "if": {"required": ["content-type"], "properties": {"content-type": {"pattern": f"^{ContentType.RAW}"}}},
                "then": {"required": list(_RAW_HEADERS)},
            },
        },
    }

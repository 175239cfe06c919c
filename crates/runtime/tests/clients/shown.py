"""What a datum read by another library says, in the form of the JSON lines: the two have to agree."""

import base64
import datetime
import decimal


def shown_time(value):
    text = value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    assert value.microsecond % 1000 == 0, value
    millis = value.microsecond // 1000
    return text + (f".{millis:03}".rstrip("0") if millis else "") + "Z"


def shown_decimal(value):
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def shown(value):
    if isinstance(value, decimal.Decimal):
        return shown_decimal(value)
    if isinstance(value, datetime.datetime):
        return shown_time(value)
    if isinstance(value, dict):
        return shown_record(value)
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
    return value


def shown_record(record):
    """A record or a map. What is null, and an empty map, is not in it; bytes that are no text have another name."""
    out = {}
    for name, value in record.items():
        if value is None or value == {}:
            continue
        if isinstance(value, (bytes, bytearray)):
            try:
                out[name] = bytes(value).decode("utf-8")
            except UnicodeDecodeError:
                out[name + "_base64"] = base64.b64encode(bytes(value)).decode("ascii")
            continue
        out[name] = shown(value)
    return out

"""Recomputes the signature of a request to AWS from the bytes that came in.

Written from the specification (Signature Version 4, its form for S3, its chunks, and 4A), and with
nothing of the SDKs whose requests it judges. It is stricter than AWS in one place: the path of an S3
request is taken as it stands, and so an equal spelling of it is not valid.
"""

import hashlib
import hmac
import re
import zlib
from base64 import b64encode
from urllib.parse import quote, unquote_to_bytes

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

SYMMETRIC = "AWS4-HMAC-SHA256"
ASYMMETRIC = "AWS4-ECDSA-P256-SHA256"


class Invalid(Exception):
    """What is wrong with a signature."""


def verdict(method, target, headers, body, secrets):
    """`valid`, `unsigned`, or what is wrong; with the names of the signed headers."""
    try:
        claim = claimed(target, headers)
        if claim is None:
            return "unsigned", []
        check(claim, method, target, headers, body, secrets)
        return "valid", claim["signed"]
    except (Invalid, KeyError, ValueError) as error:
        return f"invalid: {error}", []


def claimed(target, headers):
    """What the request says of its signature: in a header, or in its query where it is presigned."""
    given = dict((unquote(k), unquote(v)) for k, v in pairs(target))
    if "X-Amz-Signature" in given:
        algorithm, credential = given["X-Amz-Algorithm"], given["X-Amz-Credential"]
        signed, signature = given["X-Amz-SignedHeaders"], given["X-Amz-Signature"]
        date = given["X-Amz-Date"]
    else:
        authorization = values(headers, "authorization")
        if not authorization:
            return None
        algorithm, _, rest = authorization[0].partition(" ")
        fields = dict(field.strip().split("=", 1) for field in rest.split(","))
        credential, signed, signature = (
            fields[name] for name in ("Credential", "SignedHeaders", "Signature")
        )
        date = only(headers, "x-amz-date")
    if algorithm not in (SYMMETRIC, ASYMMETRIC):
        raise Invalid(f"the algorithm is {algorithm}")
    key, _, scope = credential.partition("/")
    return {
        "algorithm": algorithm,
        "key": key,
        "scope": scope,
        "service": scope.split("/")[-2],
        "date": date,
        "signed": signed.split(";"),
        "signature": signature,
        "presigned": "X-Amz-Signature" in given,
    }


def check(claim, method, target, headers, body, secrets):
    if claim["key"] not in secrets:
        raise Invalid(f"nobody has the key {claim['key']}")
    secret = secrets[claim["key"]]
    request = canonical_request(claim, method, target, headers, body)
    digest = hashlib.sha256(request).hexdigest()
    to_sign = "\n".join((claim["algorithm"], claim["date"], claim["scope"], digest)).encode()
    if claim["algorithm"] == ASYMMETRIC:
        try:
            public = private_key(claim["key"], secret).public_key()
            public.verify(bytes.fromhex(claim["signature"]), to_sign, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise Invalid(f"another signature belongs to {request}") from None
    else:
        key = signing_key(secret, claim["scope"])
        if mac(key, to_sign).hex() != claim["signature"]:
            raise Invalid(f"another signature belongs to {request}")
        if "".join(values(headers, "x-amz-content-sha256")).startswith("STREAMING-"):
            check_chunks(claim, headers, body, key)


def canonical_request(claim, method, target, headers, body):
    path = target.partition("?")[0]
    if claim["service"] != "s3":
        path = quote(path, safe="/-_.~")
    query = sorted(
        (quote(unquote_to_bytes(k), safe="-_.~"), quote(unquote_to_bytes(v), safe="-_.~"))
        for k, v in pairs(target)
        if k != "X-Amz-Signature"
    )
    lines = [method, path, "&".join(f"{k}={v}" for k, v in query)]
    for name in claim["signed"]:
        found = values(headers, name)
        if not found:
            raise Invalid(f"{name} is signed, and not there")
        lines.append(name + ":" + ",".join(" ".join(value.split()) for value in found))
    lines += ["", ";".join(claim["signed"]), payload(claim, target, headers, body)]
    # Header values are octets; the door reads them one octet a character.
    return "\n".join(lines).encode("latin-1")


def payload(claim, target, headers, body):
    if claim["presigned"] and claim["service"] == "s3":
        return "UNSIGNED-PAYLOAD"
    actual = hashlib.sha256(body).hexdigest()
    said = values(headers, "x-amz-content-sha256")
    if not said:
        return actual
    if re.fullmatch("[0-9a-f]{64}", said[0]) and said[0] != actual:
        raise Invalid("the body is not the one that was signed")
    return said[0]


def check_chunks(claim, headers, body, key):
    """The framing of `aws-chunked`, with the signature of each chunk, and the checksum after them."""
    kind = only(headers, "x-amz-content-sha256")
    is_signed = kind.startswith(f"STREAMING-{SYMMETRIC}-PAYLOAD")
    previous, content, rest = claim["signature"], b"", body

    def follow(given, what, *digests):
        nonlocal previous
        lines = (f"{SYMMETRIC}-{what}", claim["date"], claim["scope"], previous, *digests)
        previous = mac(key, "\n".join(lines).encode()).hex()
        if given != previous:
            raise Invalid(f"another signature belongs to a {what} after {len(content)} bytes")

    while True:
        head, _, rest = rest.partition(b"\r\n")
        size, _, signature = head.decode().partition(";chunk-signature=")
        size = int(size, 16)
        chunk, rest = rest[:size], rest[size:]
        if is_signed:
            follow(signature, "PAYLOAD", sha256(b""), sha256(chunk))
        content += chunk
        if not size:
            break
        if rest[:2] != b"\r\n":
            raise Invalid("a chunk does not end where it says")
        rest = rest[2:]
    if len(content) != int(only(headers, "x-amz-decoded-content-length")):
        raise Invalid("x-amz-decoded-content-length is another length")
    trailers = [line.split(b":", 1) for line in rest.replace(b"\r", b"").split(b"\n") if line]
    if kind.endswith("-TRAILER"):
        if is_signed:
            *trailers, (_, signature) = trailers
            block = b"".join(name + b":" + value + b"\n" for name, value in trailers)
            follow(signature.decode(), "TRAILER", sha256(block))
        check_trailers(headers, content, trailers)


def check_trailers(headers, content, trailers):
    announced = only(headers, "x-amz-trailer")
    if [name.decode() for name, _ in trailers] != [announced]:
        raise Invalid(f"{announced} is announced, and {trailers} came")
    checksums = {
        "x-amz-checksum-crc32": zlib.crc32(content).to_bytes(4, "big"),
        "x-amz-checksum-sha256": hashlib.sha256(content).digest(),
    }
    # Python has no CRC32C; where that is the checksum, the trailer is signed.
    if announced in checksums and b64encode(checksums[announced]) != trailers[0][1]:
        raise Invalid("another checksum belongs to the body")


def signing_key(secret, scope):
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = mac(key, part.encode())
    return key


def private_key(key_id, secret):
    """The key of 4A, which follows from the secret: a KDF in counter mode (NIST SP 800-108)."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for counter in range(1, 255):
        context = key_id.encode() + bytes([counter])
        label = b"\0\0\0\1" + ASYMMETRIC.encode() + b"\0" + context + (256).to_bytes(4, "big")
        candidate = int.from_bytes(mac(b"AWS4A" + secret.encode(), label), "big")
        if candidate <= order - 2:
            return ec.derive_private_key(candidate + 1, ec.SECP256R1())
    raise Invalid("no key follows from the secret")


def pairs(target):
    query = target.partition("?")[2]
    parts = (part.partition("=") for part in query.split("&") if part)
    return [(name, value) for name, _, value in parts]


def values(headers, name):
    return [value for n, value in headers if n.lower() == name]


def only(headers, name):
    found = values(headers, name)
    if len(found) != 1:
        raise Invalid(f"{name} is there {len(found)} times")
    return found[0]


def unquote(text):
    return unquote_to_bytes(text).decode()


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def sha256(message):
    return hashlib.sha256(message).hexdigest()

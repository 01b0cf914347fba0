"""Who signs the chain: an Ed25519 key in a file, or a key of AWS KMS that nobody ever holds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import (
    load_der_public_key,
    load_pem_private_key,
)

from ft_ops.errors import OpsError
from ft_ops.evidence.verify import ORDER, PublicKey, read_key
from ft_ops.s3.bucket import client_of
from ft_ops.settings import Settings

_HOW_FILE: Final = (
    "make one by `openssl genpkey -algorithm ed25519 -out FILE`, readable by you alone, and let "
    "FT_EVIDENCE_KEY_FILE name it"
)
_HOW_KMS: Final = (
    "make one in AWS KMS of the spec ECC_NIST_P256 for SIGN_VERIFY, and let the job use it "
    "(kms:GetPublicKey, kms:Sign)"
)


class Signer(Protocol):
    """Signs the documents of a chain."""

    def public_key(self) -> PublicKey:
        """By which anybody can verify what was signed."""

    def sign(self, content: bytes) -> bytes:
        """The signature of some bytes; an OpsError where none is given."""


@dataclass(frozen=True, slots=True)
class KmsSigner:
    """A key of AWS KMS.

    It signs the SHA-256 of a document, as a message of its own: KMS takes 4 KB, and sees no more.
    """

    client: Any
    key: str
    public: ec.EllipticCurvePublicKey

    def public_key(self) -> PublicKey:
        return self.public

    def sign(self, content: bytes) -> bytes:
        with _named(self.key):
            raw: bytes = self.client.sign(
                KeyId=self.key,
                Message=hashlib.sha256(content).digest(),
                MessageType="RAW",
                SigningAlgorithm="ECDSA_SHA_256",
            )["Signature"]
        # Of the two forms that verify, the verifier takes the smaller one alone.
        r, s = decode_dss_signature(raw)
        return encode_dss_signature(r, min(s, ORDER - s))


def has_signer(settings: Settings) -> bool:
    """Whether a setting names a key. Without one nothing is chained."""
    return settings.evidence_key_file is not None or settings.evidence_kms_key is not None


def open_signer(settings: Settings) -> Signer:
    """The signer of this deployment; an OpsError when a setting is missing or no such key."""
    if settings.evidence_kms_key is not None:
        return open_kms(settings.evidence_kms_key, client_of("kms"))
    return _private_key(settings.evidence_key_file)


def open_kms(key: str, client: Any) -> KmsSigner:
    """A key of KMS by its id, ARN or alias."""
    with _named(key):
        described = client.get_public_key(KeyId=key)
    public = load_der_public_key(described["PublicKey"])
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise OpsError(
            f"FT_EVIDENCE_KMS_KEY {key}", cause="it is no ECC_NIST_P256 key", next_step=_HOW_KMS
        )
    return KmsSigner(client, key, public)


def former_keys(paths: Sequence[Path]) -> list[PublicKey]:
    """The public keys that signed before, oldest first."""
    found = []
    for path in paths:
        try:
            found.append(read_key(path))
        except (OSError, ValueError) as error:
            raise OpsError(
                f"FT_EVIDENCE_FORMER_KEYS {path}",
                cause=str(error),
                next_step="name the public keys in PEM that signed the chain before, oldest first; "
                "they lie in its folder program/",
            ) from error
    return found


class _named:  # noqa: N801  it reads as a block
    """Says of an error of KMS which key it is about."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, BotoCoreError | ClientError):
            raise OpsError(
                f"FT_EVIDENCE_KMS_KEY {self.key}", cause=str(error), next_step=_HOW_KMS
            ) from error


def _private_key(path: Path | None) -> Ed25519PrivateKey:
    if path is None:
        cause = "neither FT_EVIDENCE_KEY_FILE nor FT_EVIDENCE_KMS_KEY is set"
        raise OpsError("chain of evidence", cause=cause, next_step=_HOW_FILE)
    what = f"FT_EVIDENCE_KEY_FILE {path}"
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise OpsError(what, cause=str(error), next_step=_HOW_FILE) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise OpsError(what, cause="it is no Ed25519 key", next_step=_HOW_FILE)
    return key

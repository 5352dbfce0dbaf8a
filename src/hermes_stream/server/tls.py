"""A certificate that the server makes and signs itself: browsers give cameras to secure pages alone."""

from __future__ import annotations

import ipaddress
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAYS = 365
_RENEW_DAYS = 30


def self_signed(folder: Path, *, hosts: tuple[str, ...]) -> tuple[Path, Path]:
    """Return the files of a certificate and its key; they are made where there are none, or they end soon.

    Args:
        folder: where they are kept.
        hosts: names and addresses by which the server is called.

    Raises:
        OSError: they cannot be written.
    """
    certificate, key = folder / "certificate.pem", folder / "certificate.key"
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname(), *hosts} - {"0.0.0.0", "::"}
    if not (key.exists() and _is_good(certificate, names)):
        folder.mkdir(parents=True, exist_ok=True)
        _make(certificate, key, sorted(names))
    return certificate, key


def _is_good(path: Path, names: set[str]) -> bool:
    try:
        known = x509.load_pem_x509_certificate(path.read_bytes())
        alternatives = known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    known_names = {str(one.value) for one in alternatives}
    is_lasting = known.not_valid_after_utc > datetime.now(UTC) + timedelta(days=_RENEW_DAYS)
    # as they stand there: an IPv6 address may be written in many ways
    return is_lasting and {str(_name(one).value) for one in names} <= known_names


def _make(certificate: Path, key_file: Path, names: list[str]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hermes-stream")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_name(one) for one in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key_file.unlink(missing_ok=True)
    with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)

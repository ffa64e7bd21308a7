"""TLS without any I/O: plain bytes on one side, records on the other, in memory.

A ``Machine`` is one connection. Whoever has the socket gives it what came (``receive``), sends what it wants sent
(``to_send``), and reads and writes plain bytes. What the two commands ask for is a ``Credentials``, from which the
machines are made; verification is on unless it was switched off by name.

Sources: RFC 8446 (TLS 1.3; closing in section 6.1), RFC 5246 (TLS 1.2; closing in section 7.2.1), RFC 6125 and
Python's ``ssl`` for names.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from time import gmtime, strftime

from sockkit.errors import UsageError
from sockkit.events import Certificate, Handshake
from sockkit.text import escape

RECORD = 16 * 1024
"""Plain bytes of one record at most (RFC 8446, section 5.1)."""

VERIFY_ERRORS = {
    2: "UNABLE_TO_GET_ISSUER_CERT",
    7: "CERT_SIGNATURE_FAILURE",
    9: "CERT_NOT_YET_VALID",
    10: "CERT_HAS_EXPIRED",
    18: "DEPTH_ZERO_SELF_SIGNED_CERT",
    19: "SELF_SIGNED_CERT_IN_CHAIN",
    20: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    21: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    22: "CERT_CHAIN_TOO_LONG",
    23: "CERT_REVOKED",
    24: "INVALID_CA",
    26: "INVALID_PURPOSE",
    27: "CERT_UNTRUSTED",
    28: "CERT_REJECTED",
    62: "HOSTNAME_MISMATCH",
    64: "IP_ADDRESS_MISMATCH",
    66: "EE_KEY_TOO_SMALL",
    67: "CA_KEY_TOO_SMALL",
    68: "CA_MD_TOO_WEAK",
}
"""X509_V_ERR_… by number: X509_STORE_CTX_get_error(3ssl)."""


class TlsError(ConnectionError):
    """TLS said no: its own reason in one line, without an errno, since that is not the system's.

    Attributes:
        hint: what it means here and what to try, or None.
    """

    def __init__(self, text: str, hint: str | None = None) -> None:
        super().__init__(text)
        self.hint = hint


class Truncated(TlsError):
    """The connection ended without close_notify: somebody may have cut it (RFC 8446, section 6.1)."""

    passing = True
    """See ``retry.passing``: before the handshake is over, the peer may just be starting."""

    def __init__(
        self, text: str = "the peer ended the connection without TLS close_notify: what came may be truncated"
    ) -> None:
        super().__init__(text)


class Credentials:
    """A TLS context with what it was made from.

    Attributes:
        server: our side of the handshake.
        name: what the peer's certificate must be valid for; None where no name is checked.
        ca: the file of certificates to trust, or None.
        fingerprint: SHA-256 that the peer's certificate must have instead, or None.
        verified: how the peer's certificate is judged, in words.
        own: the fingerprint of a certificate that was made up for this run, or None.
    """

    def __init__(
        self,
        *,
        server: bool,
        name: str | None = None,
        ca: str | None = None,
        certificate: str | None = None,
        key: str | None = None,
        alpn: Sequence[str] = (),
        insecure: bool = False,
        fingerprint: str | None = None,
        names: Sequence[str] = (),
    ) -> None:
        """
        Args:
            name: of the server, to be verified and sent (SNI); a client needs it unless it is insecure or pinned.
            ca: a file of certificates to trust instead of the system's; of a server: of those who may connect.
            certificate, key: PEM files; the key may be in the first.
            names: what a made-up certificate of a server is for.

        Raises:
            UsageError: a file that is missing, not PEM, does not fit the other, or wants a passphrase that nobody can type;
                a name that no server can have; an SSLKEYLOGFILE that cannot be written.
        """
        self.server = server
        # The dot at the end of a rooted name is no part of what certificates and SNI hold (RFC 6066, section 3).
        self.name = None if server or name is None else (name.removesuffix(".") or name)
        self.ca = ca
        self.fingerprint = fingerprint
        self.own: str | None = None
        purpose = ssl.Purpose.CLIENT_AUTH if server else ssl.Purpose.SERVER_AUTH
        try:
            # Of the standard library's: it has the verification, the system's store and SSLKEYLOGFILE.
            context = ssl.create_default_context(purpose, cafile=ca)
        except OSError as error:
            if error.filename is not None:  # Python names this file alone
                text = f"secrets cannot be written to {error.filename}: {error.strerror}"
                raise UsageError(text, option="SSLKEYLOGFILE", cause=error) from error
            raise UsageError(_unreadable(ca, error), option="--ca", cause=error) from error
        # With OpenSSL 3 Python asks it to take a cut connection for an ended one (Modules/_ssl.c): here they are told apart.
        context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        if insecure or fingerprint is not None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif server and ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        store = f"verified by {ca}" if ca is not None else "verified by the system's store"
        self.verified = (
            "verified by its fingerprint"
            if fingerprint is not None
            else ("not asked for" if server else "NOT VERIFIED")
            if context.verify_mode == ssl.CERT_NONE
            else store
        )
        if certificate is not None or key is not None:
            _load(context, certificate, key)
        elif server:
            self.own = _load_made_up(context, names)
        if alpn:
            try:
                context.set_alpn_protocols(list(alpn))
            except ssl.SSLError as error:
                raise UsageError("a protocol's name has 1 to 255 characters", option="--alpn", cause=error) from error
        self._context = context
        try:
            self.machine()  # the first word about a name that cannot be is Python's: before anybody is called
        except (ValueError, TypeError) as error:
            raise UsageError(f"{name!r} is no name of a server", option="--server-name", cause=error) from error

    def machine(self) -> Machine:
        """One connection's state."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        side = self._context.wrap_bio(incoming, outgoing, server_side=self.server, server_hostname=self.name)
        return Machine(side, incoming, outgoing, self)


class Machine:
    """One TLS connection. Reads and writes raise BlockingIOError where they need to receive first.

    Attributes:
        established: the handshake is over.
        ended: our close_notify is on its way.
        peer_ended: the peer's has come.
        farewell: bytes of the record that ours is, once it is on its way.
    """

    __slots__ = (
        *("_credentials", "_held", "_incoming", "_late", "_outgoing", "_side"),
        *("ended", "established", "farewell", "peer_ended"),
    )

    def __init__(
        self, side: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, credentials: Credentials
    ) -> None:
        self._side = side
        self._incoming = incoming
        self._outgoing = outgoing
        self._credentials = credentials
        self._held = memoryview(b"")
        self._late: ssl.SSLError | None = None
        self.established = False
        self.ended = False
        self.peer_ended = False
        self.farewell = 0

    def receive(self, data: bytes | memoryview) -> None:
        """What came from the socket; empty: its end."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def to_send(self) -> bytes:
        """What is to go to the socket now, which is then this caller's."""
        return self._outgoing.read()

    def handshake(self) -> None:
        """Go on with the handshake.

        Raises:
            BlockingIOError: more has to come first; there may be something to send.
            TlsError: it failed; there may be an alert to send.
        """
        try:
            self._side.do_handshake()
        except ssl.SSLWantReadError as wants:
            raise BlockingIOError from wants
        except ssl.SSLError as error:
            if _cut(error) or isinstance(error, ssl.SSLZeroReturnError):
                raise Truncated("the peer ended the connection during the handshake") from error
            if isinstance(error, ssl.SSLCertVerificationError):
                raise self._unverified(error) from error
            raise _refusal(error) from error
        wanted = self._credentials.fingerprint
        if wanted is not None:
            shown = fingerprint(self._side.getpeercert(True) or b"")
            if shown != wanted:
                raise TlsError(
                    f"the peer's certificate has the fingerprint {shown}, not {wanted}",
                    "somebody else may be at the other end: nothing was sent",
                )
        self.established = True

    def _unverified(self, error: ssl.SSLCertVerificationError) -> TlsError:
        """Why, with the code's name, and of which certificate: who is to decide what to do has to know."""
        name = VERIFY_ERRORS.get(error.verify_code, "")
        code = f"X509_V_ERR_{name}".rstrip("_")
        text = f"certificate verify failed: {error.verify_message.rstrip('.')} [{code} {error.verify_code}]"
        chain = _chain(self._side)
        shown = read_certificate(chain[0]) if chain else Certificate("", "", (), "", "")
        if name in ("HOSTNAME_MISMATCH", "IP_ADDRESS_MISMATCH"):
            names = ", ".join(shown.names[:5]) + (f" and {len(shown.names) - 5} more" if len(shown.names) > 5 else "")
            return TlsError(
                text, f"the certificate is for {_said(names) or 'another name'}: --server-name NAME asks for that one"
            )
        if name == "CERT_HAS_EXPIRED":
            # Else it is an issuer's.
            since = f" since {shown.expires}" if "" < shown.expires < strftime("%Y-%m-%dT%H:%M:%SZ", gmtime()) else ""
            owner = "client" if self._credentials.server else "server"
            return TlsError(text, f"the certificate's time is over{since}: its {owner} needs a new one")
        if self._credentials.server:
            return TlsError(text, f"nobody in {self._credentials.ca} (--ca) vouches for the client's certificate")
        issuer = f" ({_said(shown.issuer)})" if shown.issuer else ""
        alone = f" (SHA-256 {shown.fingerprint})" if shown.fingerprint else ""
        return TlsError(
            text,
            f"nobody trusted vouches for it: --ca FILE trusts its issuer{issuer}, "
            f"--fingerprint HEX this certificate alone{alone}",
        )

    def told(self, time: float, session: int) -> Handshake:
        """What the handshake agreed on."""
        side = self._side
        cipher = side.cipher()
        return Handshake(
            time,
            session,
            side.version() or "TLS",
            cipher[0] if cipher else "",
            side.selected_alpn_protocol(),
            self._credentials.verified,
            tuple(read_certificate(der) for der in _chain(side)),
        )

    @property
    def half_close(self) -> bool:
        """Our end can be said while the peer's lasts: since TLS 1.3. Before, close_notify made the peer stop at once."""
        return (self._side.version() or "") >= "TLSv1.3"

    def read(self, buffer: memoryview) -> int:
        """Plain bytes into the front of ``buffer``; 0 at the peer's close_notify.

        Raises:
            BlockingIOError: more has to come first. Truncated: the connection ended. TlsError: what came is no TLS.
        """
        if self._held:
            size = min(len(buffer), len(self._held))
            buffer[:size] = self._held[:size]
            self._held = self._held[size:]
            return size
        try:
            if self._late is not None:
                raise self._late
            size = self._side.read(len(buffer), buffer)  # type: ignore[assignment]  # with a buffer: a count
        except ssl.SSLWantReadError as wants:
            raise BlockingIOError from wants
        except ssl.SSLZeroReturnError:
            size = 0
        except ssl.SSLError as error:
            if _cut(error):
                raise Truncated from error
            raise _refusal(error) from error
        if size == 0:
            self.peer_ended = True
        return size

    def write(self, data: bytes | memoryview) -> int:
        """Take plain bytes: there is then more to send.

        Raises:
            BlockingIOError: more has to come first. TlsError: the connection is over.
        """
        try:
            return self._side.write(data)
        except ssl.SSLWantReadError as wants:
            raise BlockingIOError from wants
        except ssl.SSLError as error:
            raise _refusal(error) from error

    def end(self) -> None:
        """Say close_notify, once. What the peer still sends can be read afterwards."""
        if self.ended:
            return
        self.ended = True
        self._hold()
        before = self._outgoing.pending
        try:
            self._side.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # the peer's own close_notify has not come: it may come later, or never
        self.farewell = self._outgoing.pending - before

    def _hold(self) -> None:
        """Keep what has come and was not read yet: Python's ``unwrap`` calls SSL_shutdown(3ssl) a second time, which reads
        on for the peer's close_notify and drops all data before it. It is at most what one receive gave.
        """
        held = bytearray()
        try:
            while data := self._side.read(RECORD):
                held += data
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._late = error
        self._held = memoryview(bytes(held))


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate, in lower-case hex."""
    from hashlib import sha256

    return sha256(der).hexdigest()


def parse_fingerprint(text: str) -> str:
    """A fingerprint as typed or as `openssl x509 -fingerprint -sha256` prints it: with or without colons, in any case.

    Raises:
        UsageError: not 64 hex digits.
    """
    digits = text.rpartition("=")[2].rpartition("SHA256:")[2].replace(":", "").strip().lower()
    if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise UsageError(
            "it is no SHA-256 fingerprint: 64 hex digits, as `serve --tls` says them", option="--fingerprint"
        )
    return digits


NOT_TLS = "what the peer sent is not TLS: it may speak plain text on this port"
MEANINGS = {
    "WRONG_VERSION_NUMBER": NOT_TLS,
    "HTTP_REQUEST": NOT_TLS,
    "HTTPS_PROXY_REQUEST": NOT_TLS,
    "UNEXPECTED_MESSAGE": NOT_TLS,
    "BAD_PACKET_LENGTH": NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": NOT_TLS,
    "RECORD_LAYER_FAILURE": NOT_TLS,
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not trust our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer does not trust our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the peer does not trust our certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the peer wants a client certificate: --cert FILE and --key FILE",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "the peer speaks none of the protocols of --alpn",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the peer speaks no version that is spoken here: TLS 1.2 and 1.3",
    "UNSUPPORTED_PROTOCOL": "the peer speaks no version that is spoken here: TLS 1.2 and 1.3",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the peer found nothing in common: version, cipher, kind of key",
    "NO_SHARED_CIPHER": "nothing in common: cipher, or the kind of our key",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client showed no certificate, and --ca asks for one",
}
"""What OpenSSL's reasons mean here, and what to try."""


def _said(text: str) -> str:
    """What a peer's certificate says, as part of a line."""
    return escape(text, backslash=False)


def _cut(error: ssl.SSLError) -> bool:
    """The connection ended in the middle: Python's own word for it, or that of OpenSSL 3 where Python does not know it."""
    return isinstance(error, ssl.SSLEOFError) or error.reason == "UNEXPECTED_EOF_WHILE_READING"


def _refusal(error: ssl.SSLError) -> TlsError:
    """In one line that keeps its reason: ``wrong version number [SSL WRONG_VERSION_NUMBER]``."""
    reason = error.reason
    if not reason:  # Python has no name for it, but OpenSSL's words: "[SSL] tlsv1 alert … (_ssl.c:1006)"
        words = str(error).rpartition("] ")[2].partition(" (_ssl.c")[0]
        reason = words.replace(" ", "_").upper()
    return TlsError(f"{reason.replace('_', ' ').lower()} [SSL {reason}]", MEANINGS.get(reason))


def _unreadable(path: str | None, error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"{path} is no file of certificates in PEM form"
    return f"{path}: {error.strerror}"


def _load(context: ssl.SSLContext, certificate: str | None, key: str | None) -> None:
    if certificate is None:
        raise UsageError("a key needs its certificate: --cert FILE", option="--key")
    for path, option in ((certificate, "--cert"), (key, "--key")):
        try:
            if path is not None:
                open(path, "rb").close()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", option=option, cause=error) from error
    asked = False

    def passphrase() -> str:
        nonlocal asked
        asked = True
        if not os.isatty(0):
            return ""  # too short for any: OpenSSL refuses it, and nobody is asked
        from getpass import getpass

        return getpass(f"passphrase of {key or certificate}: ")

    try:
        context.load_cert_chain(certificate, key, passphrase)
    except OSError as error:
        reason = getattr(error, "reason", None) or ""
        if asked:
            text = f"{key or certificate} is protected by a passphrase" + (
                ", and stdin is no terminal to type it at" if not os.isatty(0) else ": that was not it"
            )
            raise UsageError(text, option="--key", hint="openssl pkey -in KEY -out PLAIN removes it") from error
        if reason == "KEY_VALUES_MISMATCH":
            raise UsageError("it is not the key of this certificate", option="--key", cause=error) from error
        missing = key is None
        text = (
            f"{certificate} holds no certificate with its key in PEM form: --key FILE names the key's own file"
            if missing
            else f"{certificate} and {key} are no certificate and key in PEM form"
        )
        raise UsageError(text, option="--cert" if missing else "--key", cause=error) from error


def _load_made_up(context: ssl.SSLContext, names: Sequence[str]) -> str:
    """Load a certificate made for this run, whose key is in a file only while it is read. Returns its fingerprint."""
    try:
        pem, der = make_certificate(names)
    except ImportError as error:
        raise UsageError(
            "a throw-away certificate needs the library cryptography: pip install 'sockkit[tls]', or give --cert and --key",
            option="--tls",
            cause=error,
        ) from error
    import tempfile

    # OpenSSL's library takes a path; the file is private and gone before anybody is served.
    with tempfile.NamedTemporaryFile(prefix="sockkit-", suffix=".pem") as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
    return fingerprint(der)


def make_certificate(names: Sequence[str], days: int = 1) -> tuple[bytes, bytes]:
    """A self-signed certificate for ``names`` (DNS names, IP addresses), valid from now on for ``days``.

    Returns:
        (its key and itself in PEM, itself in DER).
    """
    import ipaddress
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    alternatives: list[x509.GeneralName] = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sockkit throw-away certificate")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    return pem, certificate.public_bytes(serialization.Encoding.DER)


def _chain(side: ssl.SSLObject) -> list[bytes]:
    """What the peer showed, in DER, its own first."""
    ask = getattr(side, "get_unverified_chain", None)  # since Python 3.13
    if ask is not None:
        return list(ask() or ())
    inner = getattr(side, "_sslobj", None)  # which has had it since 3.10, as objects
    ask = getattr(inner, "get_unverified_chain", None)
    chain = ask() if ask is not None else None
    if chain:
        return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in chain]
    try:
        own = side.getpeercert(True)
    except ValueError:  # the handshake is not over
        own = None
    return [own] if own else []


def read_certificate(der: bytes) -> Certificate:
    """What a certificate says. Without the library cryptography only its fingerprint is known."""
    shown = fingerprint(der)
    try:
        from cryptography import x509
    except ImportError:
        return Certificate("", "", (), "", shown)
    try:
        certificate = x509.load_der_x509_certificate(der)
        names: tuple[str, ...] = ()
        for extension in certificate.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                names = tuple(str(name.value) for name in extension.value)
        return Certificate(
            certificate.subject.rfc4514_string(),
            certificate.issuer.rfc4514_string(),
            names,
            f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
            shown,
        )
    except ValueError:
        return Certificate("", "", (), "", shown)

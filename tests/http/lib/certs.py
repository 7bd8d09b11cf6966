# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made with the openssl program: one authority and leaves below it."""
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path


def _openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, timeout=60)


class Authority:
    """A certificate authority in a folder of its own; `ca` is what clients have to trust."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self.folder / "ca.pem"
        self._key = self.folder / "ca.key"
        self._count = 0
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-days", "30", "-subj", "/CN=Test authority", "-keyout", self._key,
                 "-out", self.ca)

    def leaf(self, *names, kind="ec", days=20, age=0, subject=None):
        """(certificate, key) for host names, addresses and URIs; kind is ec or rsa. It is valid from
        age days ago until days from now."""
        self._count += 1
        base = self.folder / f"leaf-{self._count}"
        key, request, cert = (base.with_suffix(s) for s in (".key", ".csr", ".pem"))
        extensions = base.with_suffix(".ext")
        sans = [f"URI:{n}" if "://" in n else
                f"IP:{n}" if n.replace(".", "").isdigit() else f"DNS:{n}" for n in names]
        extensions.write_text("subjectAltName=" + ",".join(sans) + "\nbasicConstraints=CA:FALSE\n")
        new = (["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec"
               else ["-newkey", "rsa:2048"])
        _openssl("req", *new, "-nodes", "-subj", subject or f"/CN={names[0]}", "-utf8", "-keyout", key,
                 "-out", request)
        if (days, age) == (20, 0):
            _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key,
                     "-CAcreateserial", "-days", "20", "-extfile", extensions, "-out", cert)
        else:
            self._sign(request, extensions, cert, days, age if days > 0 else 1 - days)
        return cert, key

    def below(self, name):
        """An authority whose certificate this one has signed; `ca` is that certificate."""
        other = object.__new__(Authority)
        other.folder, other._count = self.folder / name, 0
        other.folder.mkdir()
        other.ca, other._key = other.folder / "ca.pem", other.folder / "ca.key"
        request, extensions = other.folder / "ca.csr", other.folder / "ca.ext"
        extensions.write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\n")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-subj", f"/CN={name}", "-keyout", other._key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key,
                 "-CAcreateserial", "-days", "20", "-extfile", extensions, "-out", other.ca)
        return other

    def _config(self, name="index"):
        """For `openssl ca`, with a list of certificates of its own."""
        config, database = self.folder / f"{name}.conf", self.folder / f"{name}.txt"
        config.write_text(f"[ca]\ndefault_ca=a\n[a]\ndatabase={database}\nnew_certs_dir={self.folder}\n"
                          "policy=p\nrand_serial=yes\ndefault_md=sha256\nunique_subject=no\n[p]\ncommonName=supplied\n")
        database.touch()
        return config

    def crl(self, path, *revoked, seconds=86400):
        """Writes a revocation list of these certificates to path, good for so long."""
        self._count += 1
        options = ("-config", self._config(f"crl-{self._count}"), "-cert", self.ca,
                   "-keyfile", self._key)
        for cert in revoked:
            _openssl("ca", *options, "-revoke", cert)
        _openssl("ca", *options, "-gencrl", "-crlsec", str(seconds), "-out", path)
        return path

    def _sign(self, request, extensions, cert, days, age):
        """As `openssl x509 -req`, which can't choose when the time begins."""
        config = self._config()
        now = datetime.now(timezone.utc)
        begin, end = ((now + timedelta(days=d)).strftime("%Y%m%d%H%M%SZ") for d in (-age, days))
        _openssl("ca", "-batch", "-notext", "-config", config, "-cert", self.ca,
                 "-keyfile", self._key, "-startdate", begin, "-enddate", end,
                 "-extfile", extensions, "-in", request, "-out", cert)

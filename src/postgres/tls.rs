//! One policy of encryption for every connection: the driver's sessions and the client tools get the same,
//! and nothing of the environment changes it. The modes are libpq's; without any, `require`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::OFlags;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

use super::url::InvalidUrl;

/// How a connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    mode: TlsMode,
    /// The authorities that may have signed the server's certificate; those of the system when absent.
    roots: Option<PathBuf>,
    /// The client's certificate and its key, for servers that ask for one.
    identity: Option<(PathBuf, PathBuf)>,
    /// `channel_binding=require` was asked for.
    bound: bool,
}

/// What the server must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Nothing is encrypted: only where the URL or the manifest says so.
    Disable,
    /// Encrypted; whose server it is stays unknown.
    Require,
    /// And its certificate is signed by a known authority.
    VerifyCa,
    /// And the certificate is for the host that was asked for.
    VerifyFull,
}

impl TlsMode {
    /// libpq's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// Where a system keeps the authorities that it trusts.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// A file that no system has. libpq reads files of the home folder where it is told nothing.
const NO_FILE: &str = "/nonexistent/sluice";
/// What binding is for, no server in between, a certificate that is verified in full ensures, too.
const BOUND: &str = "channel_binding=require needs a server that proves who it is: remove it, or what stands \
    beside it (sslmode=disable or \
                     no-verify, sslaccept=accept_invalid_certs, a unix socket)";

impl Tls {
    /// What the parameters of a URL ask for, libpq's or Prisma's. One that would be dropped is refused:
    /// no user should believe a connection safer than it is.
    pub(super) fn of_parameters(parameters: &BTreeMap<String, String>) -> Result<Self, InvalidUrl> {
        for (name, value) in parameters {
            check(name, value)?;
        }
        let path = |name: &str| parameters.get(name).map(PathBuf::from);
        let (mut roots, mut identity) = (path("sslrootcert"), None);
        match (path("sslcert"), path("sslkey")) {
            (Some(certificate), Some(key)) => identity = Some((certificate, key)),
            // Prisma's: the certificate of the authority.
            (Some(certificate), None) if roots.is_none() => roots = Some(certificate),
            (None, None) => {}
            _ => {
                return Err(InvalidUrl::Tls(
                    "sslkey and sslcert belong together: a certificate of the client, and its key",
                ));
            }
        }
        let is = |name: &str, value: &str| parameters.get(name).is_some_and(|known| known == value);
        let bound = is("channel_binding", "require");
        if bound
            && (is("sslmode", "disable")
                || is("sslmode", "no-verify")
                || is("sslaccept", "accept_invalid_certs"))
        {
            return Err(InvalidUrl::Tls(BOUND));
        }
        let mode = match parameters.get("sslmode").map(String::as_str) {
            _ if bound => TlsMode::VerifyFull,
            Some("disable") => TlsMode::Disable,
            Some("verify-ca") => TlsMode::VerifyCa,
            Some("verify-full") => TlsMode::VerifyFull,
            _ if parameters.get("sslaccept").is_some_and(|value| value == "strict") => TlsMode::VerifyFull,
            // As libpq does: a URL that names an authority wants it checked.
            _ if roots.is_some() && parameters.get("sslaccept").is_none() => TlsMode::VerifyCa,
            _ => TlsMode::Require,
        };
        if mode == TlsMode::Disable && (roots.is_some() || identity.is_some()) {
            return Err(InvalidUrl::Tls(
                "sslmode=disable contradicts the certificates beside it: remove one or the other",
            ));
        }
        Ok(Self { mode, roots: roots.filter(|path| path.as_os_str() != "system"), identity, bound })
    }

    /// For a server that is reached through a socket of this machine.
    pub(super) fn on_a_socket(self) -> Result<Self, InvalidUrl> {
        if self.bound { Err(InvalidUrl::Tls(BOUND)) } else { Ok(self) }
    }

    /// With the authorities of this file, asked for in full.
    pub(super) fn verified_by(self, roots: PathBuf) -> Result<Self, InvalidUrl> {
        if self.mode == TlsMode::Disable {
            return Err(InvalidUrl::Tls(
                "sslmode=disable contradicts spec.database.tls.caFrom of the manifest: remove one or the \
                    other",
            ));
        }
        Ok(Self { mode: TlsMode::VerifyFull, roots: Some(roots), ..self })
    }

    /// What the server must show.
    pub fn mode(&self) -> TlsMode {
        self.mode
    }

    /// What to do beside, when the connection is not encrypted as it must be: the mode that fails is the
    /// default.
    pub(super) fn hint(&self) -> &'static str {
        if self.bound {
            "; channel_binding=require stands for verify-full: the certificate must be for this host and of \
                an authority that is known (sslrootcert, \
             spec.database.tls.caFrom), or remove it"
        } else {
            ""
        }
    }

    fn verifies(&self) -> bool {
        matches!(self.mode, TlsMode::VerifyCa | TlsMode::VerifyFull)
    }

    /// The file of authorities.
    fn roots(&self) -> Option<PathBuf> {
        let of_system = || {
            std::env::var_os("SSL_CERT_FILE")
                .map(PathBuf::from)
                .or_else(|| SYSTEM_ROOTS.iter().map(PathBuf::from).find(|path| path.exists()))
        };
        self.roots.clone().or_else(of_system)
    }

    /// The same for a client tool.
    pub(super) fn libpq_environment(&self) -> Vec<(&'static str, String)> {
        let text =
            |path: Option<PathBuf>| path.unwrap_or_else(|| NO_FILE.into()).to_string_lossy().into_owned();
        let (certificate, key) = self.identity.clone().unzip();
        let mut environment = vec![
            ("PGSSLMODE", self.mode.name().to_owned()),
            ("PGSSLROOTCERT", text(self.roots().filter(|_| self.verifies()))),
            ("PGSSLCERT", text(certificate)),
            ("PGSSLKEY", text(key)),
            ("PGGSSENCMODE", "disable".to_owned()),
            // A password that the URL does not have comes from nowhere else.
            ("PGPASSFILE", NO_FILE.to_owned()),
        ];
        // Of libpq 16 and newer: a password in clear goes over TLS only. Where it is set and empty, no method
        // is good enough.
        environment
            .extend((self.mode == TlsMode::Disable).then(|| ("PGREQUIREAUTH", "!password".to_owned())));
        environment
    }

    /// The same for a session, or why its files cannot be used.
    pub(super) fn client_config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if self.verifies() {
            let verifier = WebPkiServerVerifier::builder_with_provider(
                Arc::new(self.root_store()?),
                Arc::clone(&provider),
            )
            .build();
            let chain =
                verifier.map_err(|error| format!("the authorities for TLS cannot be used: {error}"))?;
            if self.mode == TlsMode::VerifyFull { chain } else { Arc::new(AnyName(chain)) }
        } else {
            Arc::new(Anyone(Arc::clone(&provider)))
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let Some((certificate, key)) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let unreadable = |what: &str, path: &PathBuf, error: &dyn std::fmt::Display| {
            format!("cannot read {what} {}: {error}", path.display())
        };
        let pem = read(certificate).map_err(|error| unreadable("the certificate", certificate, &error))?;
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| unreadable("the certificate", certificate, &error))?;
        let pem = read(key).map_err(|error| unreadable("the key", key, &error))?;
        let secret =
            PrivateKeyDer::from_pem_slice(&pem).map_err(|error| unreadable("the key", key, &error))?;
        builder
            .with_client_auth_cert(chain, secret)
            .map_err(|error| unreadable("the certificate", certificate, &error))
    }

    fn root_store(&self) -> Result<RootCertStore, String> {
        let path = self.roots().ok_or(
            "this system has no file of authorities for TLS: name one with sslrootcert or \
                spec.database.tls.caFrom",
        )?;
        let unreadable = |error: &dyn std::fmt::Display| {
            format!("cannot read the authorities for TLS from {}: {error}", path.display())
        };
        let pem = read(&path).map_err(|error| unreadable(&error))?;
        let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(certificates.map_err(|error| unreadable(&error))?);
        if added == 0 { Err(unreadable(&"there is no certificate in it")) } else { Ok(store) }
    }
}

/// The most bytes of a file of certificates. A system's own has a quarter of it.
const LARGEST: u64 = 1 << 20;

/// A file of certificates or a key. A device never ends, and a FIFO without a writer never begins.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST { Err(io::Error::other("it is larger than 1 MiB")) } else { Ok(bytes) }
}

/// Whether a parameter decides how safe a connection is.
pub(super) fn is_about_safety(name: &str) -> bool {
    ["ssl", "gss", "krb", "channel_binding", "require"]
        .iter()
        .any(|prefix| name.to_ascii_lowercase().starts_with(prefix))
}

/// Whether one parameter is understood.
fn check(name: &str, value: &str) -> Result<(), InvalidUrl> {
    let known = match (name, value) {
        (
            "sslmode",
            "disable" | "allow" | "prefer" | "require" | "no-verify" | "verify-ca" | "verify-full",
        )
        | ("ssl", "true" | "1" | "on")
        | ("sslaccept", "strict" | "accept_invalid_certs")
        | ("gssencmode", "disable" | "prefer")
        | ("channel_binding", "disable" | "prefer" | "require")
        | ("sslcompression", "0")
        | ("sslsni", "1")
        | ("sslnegotiation", "postgres")
        | ("ssl_min_protocol_version", "TLSv1" | "TLSv1.1" | "TLSv1.2") => true,
        ("sslrootcert" | "sslcert" | "sslkey", path) => !path.is_empty(),
        ("sslidentity" | "sslpassword", _) => {
            return Err(InvalidUrl::Tls(
                "sslidentity is a PKCS#12 file, which Sluice does not read: give sslcert and sslkey, in PEM",
            ));
        }
        ("ssl", _) => {
            return Err(InvalidUrl::Tls(
                "ssl=true means sslmode=require; to do without TLS, write sslmode=disable",
            ));
        }
        _ => !is_about_safety(name),
    };
    if known {
        Ok(())
    } else {
        Err(InvalidUrl::Parameter(
            name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect(),
        ))
    }
}

/// Takes every certificate, as libpq's `require` does. That the server has the certificate's key is still
/// proven.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tokio_rustls::rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tokio_rustls::rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes a certificate of a known authority, for whatever host it is.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Tls, InvalidUrl> {
        let parameters = query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').expect("a pair"));
        Tls::of_parameters(&parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn each_way_to_ask_for_tls_has_one_meaning() {
        for (query, mode) in [
            ("", TlsMode::Require),
            ("schema=public&connection_limit=1", TlsMode::Require),
            ("sslmode=disable", TlsMode::Disable),
            ("sslmode=prefer", TlsMode::Require),
            ("sslmode=allow", TlsMode::Require),
            ("sslmode=require", TlsMode::Require),
            ("ssl=true", TlsMode::Require),
            ("sslmode=verify-ca", TlsMode::VerifyCa),
            ("sslmode=verify-full", TlsMode::VerifyFull),
            ("sslaccept=strict", TlsMode::VerifyFull),
            ("sslmode=require&sslaccept=accept_invalid_certs", TlsMode::Require),
            ("sslrootcert=/ca.pem", TlsMode::VerifyCa),
            ("sslmode=require&sslrootcert=/ca.pem", TlsMode::VerifyCa),
            ("sslcert=/ca.pem&sslaccept=strict", TlsMode::VerifyFull),
            ("sslcert=/client.pem&sslkey=/client.key", TlsMode::Require),
            ("sslmode=require&channel_binding=prefer", TlsMode::Require),
            ("sslmode=require&channel_binding=require", TlsMode::VerifyFull),
            ("channel_binding=require&sslrootcert=/ca.pem", TlsMode::VerifyFull),
            ("sslmode=verify-ca&channel_binding=require", TlsMode::VerifyFull),
        ] {
            assert_eq!(of(query).map(|tls| tls.mode()), Ok(mode), "{query}");
        }
    }

    #[test]
    fn only_a_regular_file_of_bounded_size_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        assert!(
            std::process::Command::new("mkfifo").arg(at("fifo")).status().expect("mkfifo runs").success()
        );
        std::fs::write(at("large"), vec![b'a'; 1 + (1 << 20)]).expect("writes");
        std::fs::write(at("usual"), "text").expect("writes");
        for path in
            [PathBuf::from("/dev/zero"), at("fifo"), at("large"), folder.path().to_owned(), at("missing")]
        {
            assert!(read(&path).is_err(), "{}", path.display());
        }
        assert_eq!(read(&at("usual")).expect("reads"), b"text");
    }

    #[test]
    fn what_would_be_dropped_is_refused() {
        for query in [
            "sslMode=require",
            "ssl_mode=require",
            "sslmode=required",
            "ssl=false",
            "sslidentity=/id.p12",
            "sslpassword=x",
            "sslaccept=yes",
            "gssencmode=require",
            "channel_binding=required",
            "sslmode=disable&channel_binding=require",
            "sslmode=no-verify&channel_binding=require",
            "sslaccept=accept_invalid_certs&channel_binding=require",
            "sslcrl=/x",
            "sslkey=/x",
            "require_auth=scram-sha-256",
            "requiressl=1",
            "sslmode=disable&sslrootcert=/ca.pem",
        ] {
            assert!(of(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_client_tool_gets_what_a_session_gets_and_nothing_of_the_home_folder() {
        let tls = of("").and_then(|tls| tls.verified_by("/ca.pem".into())).expect("resolves");
        assert_eq!(tls.mode(), TlsMode::VerifyFull);
        let environment_of = |tls: Tls| tls.libpq_environment().into_iter().collect::<BTreeMap<_, _>>();
        let environment = environment_of(tls);
        assert_eq!(
            (environment["PGSSLMODE"].as_str(), environment["PGSSLROOTCERT"].as_str()),
            ("verify-full", "/ca.pem")
        );
        assert_eq!(environment["PGSSLCERT"], NO_FILE);
        let usual = environment_of(of("").expect("resolves"));
        assert_eq!((usual["PGSSLROOTCERT"].as_str(), usual.get("PGREQUIREAUTH")), (NO_FILE, None));
        assert_eq!(environment_of(of("sslmode=disable").expect("resolves"))["PGREQUIREAUTH"], "!password");
        assert!(of("sslmode=disable").and_then(|tls| tls.verified_by("/ca.pem".into())).is_err());
    }
}

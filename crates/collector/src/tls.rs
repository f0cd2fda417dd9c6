//! TLS for exporters that speak IPFIX over it (RFC 7011, section 11): certificates from PEM files.
//!
//! Without a certificate authority for exporters the stream is only encrypted: whoever reaches the
//! port is believed. With one, an exporter has to present a certificate that it signed, which is
//! what RFC 7011, section 11.1, wants.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use crate::Error;

/// The files, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The collector's certificate, then those between it and its authority.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities for exporters, which then have to present a certificate.
    pub client_ca: Option<PathBuf>,
}

/// What listeners need to speak TLS. Clones share it.
#[derive(Clone)]
pub struct Server(pub(crate) Arc<ServerConfig>);

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server { .. }") // not the key
    }
}

impl Server {
    /// Reads the files. To be called before privileges are given up: the key may belong to root.
    ///
    /// # Errors
    /// If a file cannot be read or has nothing usable, or key and certificate do not belong
    /// together.
    pub fn load(files: &Files) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(because(&files.chain))?;
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(authorities(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(because(path))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| match e {
            pem::Error::NoItemsFound => Error::Tls {
                path: files.key.clone(),
                reason: "no unencrypted private key in it: PEM is wanted".to_owned(),
            },
            e => unreadable(&files.key, &e),
        })?;
        let chain = certificates(&files.chain)?;
        let mut config = builder.with_single_cert(chain, key).map_err(|e| match e {
            rustls::Error::InconsistentKeys(_) => Error::Tls {
                path: files.key.clone(),
                reason: format!("is not the key of the certificate in {}", files.chain.display()),
            },
            e => because(&files.chain)(e),
        })?;
        // Exporters stay connected for days: there is nothing to gain by remembering sessions.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self(Arc::new(config)))
    }
}

/// Certificates of a file, of which there is at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| unreadable(path, &e))?;
    if all.is_empty() {
        let reason = "no certificate in it: PEM is wanted".to_owned();
        return Err(Error::Tls { path: path.to_owned(), reason });
    }
    Ok(all)
}

fn authorities(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(because(path))?;
    }
    Ok(roots)
}

fn unreadable(path: &Path, error: &pem::Error) -> Error {
    let reason = match error {
        pem::Error::Io(e) => e.to_string(),
        e => format!("not PEM: {e}"),
    };
    Error::Tls { path: path.to_owned(), reason }
}

fn because<E: fmt::Display>(path: &Path) -> impl Fn(E) -> Error + use<'_, E> {
    move |e| Error::Tls { path: path.to_owned(), reason: e.to_string() }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Authorities and certificates that live as long as a test.

    use super::Files;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    use std::path::Path;
    use std::sync::Arc;

    /// Somebody who signs certificates.
    pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

    /// A certificate and its key, PEM.
    pub(crate) struct Identity {
        pub(crate) chain: String,
        pub(crate) key: String,
    }

    impl Authority {
        pub(crate) fn new() -> Self {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        }

        pub(crate) fn sign(&self, name: &str) -> Identity {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &self.0).unwrap();
            Identity { chain: certificate.pem(), key: key.serialize_pem() }
        }

        pub(crate) fn pem(&self) -> String {
            self.0.pem()
        }

        /// The files of a collector called `localhost`, exporters signed by `client_ca`.
        pub(crate) fn files(&self, dir: &Path, client_ca: Option<&Self>) -> Files {
            let identity = self.sign("localhost");
            let file = |name: &str, text: &str| {
                let path = dir.join(name);
                std::fs::write(&path, text).unwrap();
                path
            };
            Files {
                chain: file("chain.pem", &identity.chain),
                key: file("key.pem", &identity.key),
                client_ca: client_ca.map(|ca| file("ca.pem", &ca.pem())),
            }
        }

        /// An exporter that believes collectors which this authority has signed.
        pub(crate) fn client(&self, identity: Option<&Identity>) -> Arc<rustls::ClientConfig> {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.0.der().clone()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
            Arc::new(match identity {
                None => builder.with_no_client_auth(),
                Some(Identity { chain, key }) => {
                    let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
                    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                    builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
                }
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Authority;
    use super::*;

    #[test]
    fn files_that_do_not_work_are_told_with_their_name() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::new();
        let good = ca.files(dir.path(), Some(&ca));
        Server::load(&good).unwrap();
        Server::load(&Files { client_ca: None, ..good.clone() }).unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let gone = dir.path().join("gone.pem");
        let empty = file("empty.pem", "");
        let torn = file("torn.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
        let no_der =
            file("no-der.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let other = file("other.pem", &ca.sign("other").key);
        let with = |change: &dyn Fn(&mut Files)| {
            let mut files = good.clone();
            change(&mut files);
            Server::load(&files).unwrap_err().to_string()
        };
        for (name, told, why) in [
            ("chain", with(&|f| f.chain = gone.clone()), ["gone.pem", "No such file"]),
            ("chain", with(&|f| f.chain = empty.clone()), ["empty.pem", "no certificate"]),
            ("chain", with(&|f| f.chain = torn.clone()), ["torn.pem", "not PEM"]),
            ("chain", with(&|f| f.chain = no_der.clone()), ["no-der.pem", "certificate"]),
            ("key", with(&|f| f.key = gone.clone()), ["gone.pem", "No such file"]),
            ("key", with(&|f| f.key = empty.clone()), ["empty.pem", "no unencrypted private key"]),
            ("key", with(&|f| f.key = other.clone()), ["other.pem", "not the key of"]),
            ("ca", with(&|f| f.client_ca = Some(gone.clone())), ["gone.pem", "No such file"]),
            ("ca", with(&|f| f.client_ca = Some(empty.clone())), ["empty.pem", "no certificate"]),
            ("ca", with(&|f| f.client_ca = Some(no_der.clone())), ["no-der.pem", "certificate"]),
        ] {
            assert!(why.iter().all(|w| told.contains(w)), "{name}: {told}");
        }
        assert_eq!(format!("{:?}", Server::load(&good).unwrap()), "Server { .. }");
    }
}

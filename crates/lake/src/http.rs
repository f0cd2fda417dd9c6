//! Who is asked over HTTP, and over HTTPS: with TLS 1.2 and 1.3, believing the authorities of the
//! system or those of a file.

use rustls::crypto::ring;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Where systems keep their authorities: Debian, Fedora, Alpine and the BSDs.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why there are no authorities to believe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// There is nothing of use in the file.
    #[error("{path}: no certificate in PEM")]
    Empty {
        /// Which.
        path: String,
    },
    /// The system has no list of them where systems have one.
    #[error(
        "https: the system has no list of authorities: install ca-certificates, or name a file"
    )]
    None,
}

/// Authorities whose certificates are believed.
#[derive(Clone, Debug)]
pub struct Authorities(RootCerts);

impl Authorities {
    /// Those of a file of PEM certificates, or else of the system, or of the file that the variable
    /// `SSL_CERT_FILE` names.
    ///
    /// # Errors
    /// If there is none.
    pub fn read(file: Option<&Path>) -> Result<Self, AuthorityError> {
        let variable = || std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let known = || BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file());
        let path = file.map(Path::to_owned).or_else(variable).or_else(known);
        let path = path.ok_or(AuthorityError::None)?;
        let name = || path.display().to_string();
        let pem =
            std::fs::read(&path).map_err(|source| AuthorityError::Io { path: name(), source })?;
        let certificate = |item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        };
        let all: Vec<Certificate<'static>> = parse_pem(&pem).filter_map(certificate).collect();
        if all.is_empty() {
            return Err(AuthorityError::Empty { path: name() });
        }
        Ok(Self(RootCerts::new_with_certs(&all)))
    }

    /// Those for a URL: none are read for one without TLS.
    ///
    /// # Errors
    /// If there is none, and they are needed.
    pub fn for_url(url: &str, file: Option<&Path>) -> Result<Option<Self>, AuthorityError> {
        let is_tls = url.starts_with("https:");
        is_tls.then(|| Self::read(file)).transpose()
    }
}

/// An agent whose requests take so long at most. Whatever status an answer has, it is no error.
pub fn agent(limit: Option<Duration>, authorities: Option<Authorities>) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_global(limit)
        .proxy(None);
    if let Some(Authorities(roots)) = authorities {
        let provider = Arc::new(ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        config = config.tls_config(tls);
    }
    config.build().into()
}

#[cfg(test)]
mod tests;

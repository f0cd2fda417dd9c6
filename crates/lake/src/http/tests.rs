//! Against a server with a certificate of its own.

use super::*;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

/// A server that says `yes` to each request over TLS, for as long as the process is there: its port,
/// and its certificate.
fn server() -> (u16, String) {
    let names = ["127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            // Whoever does not believe the certificate goes away.
            if stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {
                let answer =
                    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nyes";
                let _ = stream.write_all(answer);
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    (port, made.cert.pem())
}

#[test]
fn servers_are_believed_by_their_authority_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let ((port, pem), (_, other)) = (server(), server());
    let url = format!("https://127.0.0.1:{port}/");
    let ask = |pem: &str| {
        std::fs::write(&file, pem).unwrap();
        let authorities = Authorities::for_url(&url, Some(&file)).unwrap();
        assert!(authorities.is_some());
        let mut answer = agent(None, authorities).get(&url).call()?;
        answer.body_mut().read_to_string()
    };
    assert_eq!(ask(&format!("{other}\n{pem}")).unwrap(), "yes");
    let error = ask(&other).unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn authorities_that_are_none_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let said = |file: &Path| Authorities::read(Some(file)).unwrap_err().to_string();
    assert!(said(&file).contains("ca.pem: No such file"), "{}", said(&file));
    for text in ["", "PEM", "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&file, text).unwrap();
        assert!(said(&file).contains("ca.pem: no certificate in PEM"), "{text}: {}", said(&file));
    }
    assert!(Authorities::for_url("http://h/", Some(&file)).unwrap().is_none());
}

//! Real requests on loopback.

use super::*;
use crate::metrics::Format;
use crate::metrics::tests::{full, parse};
use crate::status::{Details, SourceDetails};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use sys::signal::Stop;
use web::{FetchError, fetch};

const LONG: Duration = Duration::from_secs(600);

fn patient() -> Options {
    // As many connections as it takes: those that are over may be counted for a moment yet.
    let server = web::Options { connections: 10_000, request: LONG, answer: LONG };
    Options { server, details: LONG, ..Options::default() }
}

/// Runs a server, with somebody who answers what is asked of the board.
fn with_server(board: &Board, options: Options, f: impl FnOnce(SocketAddr)) {
    let server = bind(([127, 0, 0, 1], 0).into(), board.clone(), options).unwrap();
    let addr = server.local_addr();
    let (stop, is_over) = (Stop::new().unwrap(), AtomicBool::new(false));
    thread::scope(|scope| {
        let guard = Guard(&stop, &is_over);
        let thread = scope.spawn(|| server.run(&stop));
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                if let Some(request) = board.request() {
                    let core = SourceDetails { ident: "core".into(), ..SourceDetails::default() };
                    board.answer(request, Details { at_ms: 1, sources: vec![core] });
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        f(addr);
        drop(guard);
        thread.join().unwrap().unwrap();
    });
}

/// Ends the threads of a test also where it fails.
struct Guard<'a>(&'a Stop, &'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.1.store(true, Ordering::SeqCst);
        self.0.request();
    }
}

/// Sends octets and returns all that comes back.
fn talk(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let _ = stream.write_all(request); // may have been refused already
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn board_of(status: &Status) -> Board {
    let board = Board::new();
    board.publish(|s| *s = status.clone());
    board
}

#[test]
fn every_page_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut status = full();
    status.sources[0].dir = dir.path().to_owned();
    with_server(&board_of(&status), patient(), |addr| {
        let get = |path: &str| String::from_utf8(fetch(addr, path).unwrap()).unwrap();
        let metrics = parse(&get("/metrics"));
        assert_eq!(metrics["flowcapd_healthy"].samples[&vec![]], 1.0);
        assert_eq!(metrics["flowcapd_disk_free_bytes"].samples.len(), 1);
        assert!(metrics["flowcapd_cpu_seconds_total"].samples[&vec![]] >= 0.0);
        assert!(metrics["flowcapd_memory_peak_bytes"].samples[&vec![]] > 0.0);
        assert_eq!(get("/healthz"), "ok\n");
        let json = |path: &str| serde_json::from_str::<serde_json::Value>(&get(path)).unwrap();
        assert_eq!(json("/status")["sources"][0]["account"]["received"], 101);
        assert_eq!(json("/templates")["sources"][0]["ident"], "core");
        assert_eq!(json("/unknown")["sources"][0]["ident"], "core");
        assert_eq!(get("/templates?format=text"), "source core\n  no templates\n");
        assert!(get("/unknown?format=text").starts_with("source core\n"));
        assert_eq!(get("/"), PAGES);
        let error = fetch(addr, "/nothing").unwrap_err().to_string();
        assert!(error.contains("404 Not Found: /metrics "), "{error}");
    });
}

#[test]
fn scrapers_get_the_dialect_they_ask_for() {
    with_server(&board_of(&full()), patient(), |addr| {
        for (accept, content_type, end) in [
            ("text/plain", "text/plain; version=0.0.4; charset=utf-8", false),
            (
                "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                true,
            ),
        ] {
            let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\naccept: {accept}\r\n\r\n");
            let answer = talk(addr, request.as_bytes());
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(head.contains(&format!("\r\nContent-Type: {content_type}\r\n")), "{head}");
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
            assert_eq!(body.ends_with("# EOF\n"), end);
            parse(body);
        }
    });
}

#[test]
fn health_tells_what_is_wrong() {
    let mut status = full();
    status.sources[0].ident = "core".into();
    status.sources[0].trouble = Some("no space left".into());
    with_server(&board_of(&status), patient(), |addr| {
        let answer = talk(addr, b"GET /healthz HTTP/1.0\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nsource core: no space left\n"), "{answer}");
        let error = fetch(addr, "/healthz").unwrap_err();
        assert!(matches!(error, FetchError::Refused { ref reason, .. } if reason.contains("core")));
        assert_eq!(parse_metric(addr, "flowcapd_healthy"), 0.0);
    });
}

fn parse_metric(addr: SocketAddr, name: &str) -> f64 {
    let text = String::from_utf8(fetch(addr, "/metrics").unwrap()).unwrap();
    parse(&text)[name].samples[&vec![]]
}

#[test]
fn details_that_do_not_come_are_an_error() {
    let board = Board::new(); // nobody answers
    let pages = Pages { board, details: Duration::from_millis(1), limits: Default::default() };
    let answer = pages.answer(&Request {
        path: "/templates",
        query: "",
        is_head: false,
        format: Format::Prometheus,
    });
    assert_eq!(answer.status, "503 Service Unavailable");
}
